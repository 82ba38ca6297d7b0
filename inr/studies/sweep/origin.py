"""Where a row comes from: which code, on which machine."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from inr.exact.threads import available_cores
from inr.fitting.jax_settings import device
from inr.studies.code_hash import code_hash

_PACKAGE = Path(__file__).parents[2]
_GIT_SECONDS = 10.0  # a checkout on a slow disk takes one or two
# Hooks of git and scripts set these; with them git would speak of another folder.
_OF_GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def commit() -> str:
    """Name the code for people: the commit, or without a checkout the version.

    Returns:
      As in 806c5cc1d2e3, 806c5cc1d2e3+423c7157 with changes that no commit has, or
      0.1.0+423c7157; what follows the + is the beginning of the package's hash.
    """
    # Asked for by name: a virtual environment may lie inside a checkout of something else.
    described = ""
    if _git("ls-files", "--error-unmatch", "__init__.py"):
        described = _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")
    described = described or f"{metadata.version('inr')}+"
    return described + code_hash()[:8] if described.endswith("+") else described


def machine() -> str:
    """Processor, cores this process may use, and what jax computes on."""
    used = device()
    kind = "" if used.platform == "cpu" else f" ({used.device_kind})"
    return f"{processor()}, jax on {used.platform}{kind}"


def processor() -> str:
    """Processor and cores this process may use; leaves a GPU to other processes."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    return f"{available_cores()} of {os.cpu_count()} cores of {cpu}"


def _git(*arguments: str) -> str:
    """Ask git about the package's folder; "" where it is not there, refuses or takes too long."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_GIT}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # the user's own git may be at work there
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=_PACKAGE,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""
