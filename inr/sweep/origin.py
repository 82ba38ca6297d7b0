"""Where a row comes from: which code, on which machine."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from inr.sweep.cores import available_cores

_PACKAGE = Path(__file__).parent.parent


def commit() -> str:
    """The commit of the source tree, with a + where it has changes; without one, the version."""
    # Asked for by name: a virtual environment may lie inside a checkout of something else.
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    described = _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")
    return described if tracked and described else metadata.version("inr")


def machine() -> str:
    """Processor, cores this process may use, and what jax computes on."""
    import jax

    device = jax.devices()[0]
    kind = "" if device.platform == "cpu" else f" ({device.device_kind})"
    return f"{processor()}, jax on {device.platform}{kind}"


def processor() -> str:
    """Processor and cores this process may use; leaves a GPU to other processes."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), cpu)
    return f"{available_cores()} of {os.cpu_count()} cores of {cpu}"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_PACKAGE, capture_output=True, text=True)
    except OSError:  # no git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
