"""What the tests of `inr sweep` share: a sweep, a process to run it in, and what it leaves."""

import csv
import importlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

TINY = ("--set", "fit.steps=5", "--set", "field.hidden=4", "--set", "field.n_layers=1")
SWEEP = ("a.png", "--recipe", "siren", *TINY, "--vary", "quantize.bits=4,6", "-o", "out")


OTHER_CODE = "c0de" * 6


def other_code(monkeypatch):
    """Sweeps run by other code from now on."""
    plan = importlib.import_module("inr.studies.sweep.plan")  # not the package's function
    monkeypatch.setattr(plan, "code_hash", lambda: OTHER_CODE)


def started(*arguments, before=""):
    """main() in a process of its own, which need not end."""
    code = f"{before}\nfrom inr.cli.main import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "sweep", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def table():
    with open("out/runs.csv", newline="") as file:
        return list(csv.DictReader(file))


def names(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def ledger_hashes():
    """Config hashes of all rows so far; [] where there is no table yet."""
    if not Path("out/ledger.sqlite").exists():
        return []
    connection = sqlite3.connect("out/ledger.sqlite", timeout=10)
    try:
        return [row[0] for row in connection.execute("SELECT config_hash FROM runs")]
    except sqlite3.OperationalError:  # between the file and its table
        return []
    finally:
        connection.close()
