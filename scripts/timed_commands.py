"""Whole `inr` commands in processes of their own, timed; shared by the benches."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_INR = (sys.executable, "-m", "inr")


def machine() -> str:
    """Name the processor and its cores."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    return f"{os.cpu_count()} cores of {cpu}"


def run_json(*arguments: str | Path) -> dict[str, Any]:
    """Return what `inr ... --json` prints; CalledProcessError where the command fails."""
    command = [*_INR, *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def wall_seconds(*arguments: str | Path, n: int = 7) -> list[float]:
    """Time n runs of a command, one after the other."""
    seconds = []
    for _ in range(n):
        started_at = time.monotonic()
        subprocess.run([*_INR, *map(str, arguments)], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - started_at)
    return seconds


def peak_gb() -> float:
    """Return the memory of the largest command so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
