"""Which cores this process may use, and how the worker processes share them."""

import contextlib
import os
import sys
from collections.abc import Iterator

_ENVIRONMENT_CORES = "PJRT_NPROC"  # what XLA reads where a process cannot be tied to cores


def available_cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return int(os.environ.get(_ENVIRONMENT_CORES) or os.cpu_count() or 1)


@contextlib.contextmanager
def pinned(worker: int, n_workers: int) -> Iterator[None]:
    """Processes started in this block have worker's share of the cores, by inheritance.

    Set from inside a process it would come too late: its numpy has its threads already.
    """
    before = {name: os.environ.get(name) for name in (_ENVIRONMENT_CORES, _GPU_MEMORY)}
    share = _share(worker, n_workers, available_cores())
    os.environ[_ENVIRONMENT_CORES] = str(len(share))
    os.environ.setdefault(_GPU_MEMORY, "false")  # else the first worker takes most of the GPU's
    try:
        if sys.platform == "linux":
            cores = os.sched_getaffinity(0)
            try:
                os.sched_setaffinity(0, [sorted(cores)[i] for i in share])
                yield
            finally:
                os.sched_setaffinity(0, cores)
        else:
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_GPU_MEMORY = "XLA_PYTHON_CLIENT_PREALLOCATE"


def _share(worker: int, n_workers: int, n_cores: int) -> range:
    """Which of the cores, counted from 0, are the worker's; several share one if they must."""
    if n_workers >= n_cores:
        return range(worker % n_cores, worker % n_cores + 1)
    return range(worker * n_cores // n_workers, (worker + 1) * n_cores // n_workers)
