"""Encodes every picture of a folder from the command line, and says how each one ended.

    python scripts/try_pictures.py FOLDER [--recipe cae]...

FOLDER holds manifest.csv with the columns `file` and `expected`: ok, error or either. Each picture
is encoded, decoded and evaluated with short fits; an error has to be one line, and what a file
draws has to have the picture's size. Prints a table and ends with 1 if an outcome is not as
expected. Pictures that fail in one recipe alone are what it looks for.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SHORT = {"siren": ("--set", "fit.steps=5"), "grid_fast": ("--set", "fit.steps=3"), "cae": ()}
SECONDS = 900  # of a command, before it counts as one that hangs


@dataclass(frozen=True)
class Outcome:
    """How one picture ended with one recipe."""

    file: str
    recipe: str
    expected: str
    ended: str  # ok, error, or what no command may do: traceback, signal, hang, wrong
    text: str

    @property
    def is_right(self) -> bool:
        return self.ended in (("ok", "error") if self.expected == "either" else (self.expected,))


def inr(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one command as a user does."""
    command = [sys.executable, "-m", "inr", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
    )


def try_picture(folder: Path, name: str, recipe: str, expected: str) -> Outcome:
    """Encode, decode and evaluate one picture."""
    try:
        ended, text = _ended(folder / name, recipe)
    except subprocess.TimeoutExpired:
        ended, text = "hang", f"more than {SECONDS} s"
    return Outcome(name, recipe, expected, ended, text)


def _ended(picture: Path, recipe: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        output, decoded = Path(folder) / "a.inr", Path(folder) / "a.png"
        made = inr("encode", picture, "-o", output, "--recipe", recipe, *SHORT[recipe], "--json")
        if made.returncode != 0:
            assert not output.exists(), "a failed command has left its output"
            return _failed(made)
        figures = json.loads(made.stdout)
        drawn = inr("decode", output, "-o", decoded, "--json")
        if drawn.returncode != 0:
            return "wrong", f"decode: {_failed(drawn)}"
        size = json.loads(drawn.stdout)
        psnr = "equal" if figures["psnr_db"] is None else f"{figures['psnr_db']:.1f} dB"
        notes = " ".join(made.stderr.split())[:160]
        return "ok", f"{size['width']}x{size['height']}, {figures['n_bytes']} bytes, {psnr} {notes}"


def _failed(run: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    lines = [line for line in run.stderr.splitlines() if not line.startswith("warning: ")]
    if "Traceback" in run.stderr:
        return "traceback", lines[-1]
    if run.returncode < 0:
        return "signal", str(run.returncode)
    is_one_line = len(lines) == 1 and lines[0].startswith("error: ") and not run.stdout
    return ("error" if is_one_line else "wrong"), " | ".join(lines)[:200]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", action="append", choices=list(SHORT))
    given = parser.parse_args()
    with (given.folder / "manifest.csv").open(newline="") as file:
        rows = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    recipes = given.recipe or list(SHORT)
    jobs = [(name, recipe, expected) for name, expected in rows for recipe in recipes]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda job: try_picture(given.folder, *job), jobs))
    for each in outcomes:
        mark = " " if each.is_right else "!"
        print(f"{mark} {each.file:32} {each.recipe:9} {each.expected:6} {each.ended:9} {each.text}")
    wrong = [each for each in outcomes if not each.is_right]
    counts = {end: sum(each.ended == end for each in outcomes) for end in ("ok", "error")}
    print(f"{len(outcomes)} tried: {counts}; {len(wrong)} not as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
