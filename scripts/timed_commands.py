"""Whole `inr` commands in processes of their own, timed; shared by the benches."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_INR = str(Path(sys.executable).parent / "inr")


def told_by(*arguments: str | Path) -> dict[str, Any]:
    """What `inr ... --json` prints; CalledProcessError where the command fails."""
    command = [_INR, *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def wall_seconds(*arguments: str | Path, n: int = 7) -> list[float]:
    """Of n runs, one after the other."""
    seconds = []
    for _ in range(n):
        started_at = time.monotonic()
        subprocess.run([_INR, *map(str, arguments)], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - started_at)
    return seconds


def peak_gb() -> float:
    """Of the largest command so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
