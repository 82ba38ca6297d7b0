"""Where commands keep what XLA has compiled: the same fit is compiled once a machine, not once a
process.

jax keeps the programs itself, in files named by a hash of the program, its options and its own
version, and compiles anew what it cannot read, such as the half of a file. What it does not know is
where, which processor they were compiled for, and when they are too many.
"""

import hashlib
import os
import platform
from pathlib import Path

# What the user may have set instead; then all of it is the user's own choice.
_JAX_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
# jax would keep neither programs that compile within a second nor small ones: a fit has dozens.
_KEEP_ALL = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
LIMIT_BYTES = 1 << 30  # some thousand programs; a fit of a size not seen before adds a megabyte


def keep_compilations() -> None:
    """Have jax, once it is loaded by this process or a child, keep its programs on disk.

    The folder is `xla` in that which INR_CACHE names, or in the user's own cache folder. An empty
    INR_CACHE switches it off.
    """
    root = cache_folder()
    if root is None or any(name in os.environ for name in _JAX_VARIABLES):
        return
    folder = root / "xla" / _processor()
    limit_size(folder, LIMIT_BYTES)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    for name, value in _KEEP_ALL.items():
        os.environ.setdefault(name, value)


def cache_folder() -> Path | None:
    """Return the folder of what can be made again at any time; None where nothing is to be kept."""
    given = os.environ.get("INR_CACHE")
    if given is not None:
        return Path(given).absolute() if given else None
    import platformdirs

    return platformdirs.user_cache_path("inr", appauthor=False)


def limit_size(folder: Path, limit: int) -> None:
    """Remove the programs that were not used for longest until the others take at most `limit`
    bytes; a folder that cannot be read or changed stays as it is."""
    try:
        programs = [(path.stat(), path) for path in folder.glob("jit_*-cache")]
        programs.sort(key=lambda each: max(each[0].st_atime, each[0].st_mtime))
        surplus = sum(stat.st_size for stat, _ in programs) - limit
        for stat, path in programs:
            if surplus <= 0:
                break
            path.unlink(missing_ok=True)
            surplus -= stat.st_size
    except OSError:
        return


def _processor() -> str:
    """Name the processor: programs made for one stop the process on another, where a home folder
    is shared by both."""
    text = f"{platform.machine()} {platform.processor()}"
    try:
        with open("/proc/cpuinfo") as file:
            text += next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:  # not Linux
        pass
    return hashlib.sha256(text.encode()).hexdigest()[:12]
