"""How the worker processes of a sweep share the cores that this process may use."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from inr.exact.threads import available_cores


@contextmanager
def pin_children(worker: int, n_workers: int) -> Iterator[int]:
    """Tie the processes that this thread starts in the block to a worker's share of the cores.

    They inherit it. Set from inside a process it would come too late: its numpy has its threads
    already. Other threads of this process keep their cores.

    Args:
      worker: 0..n_workers - 1.
    Yields:
      The number of cores in the share, for `note_share` in the process.
    """
    share = share_of_cores(worker, n_workers, available_cores())
    if sys.platform != "linux":  # nothing can be tied there
        yield len(share)
        return
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [sorted(cores)[i] for i in share])  # 0 is this thread
        yield len(share)
    finally:
        os.sched_setaffinity(0, cores)


def note_share(n_cores: int) -> None:
    """Tell XLA in a worker process that there are others beside it; call it before jax is used."""
    os.environ["PJRT_NPROC"] = str(n_cores)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else the first takes the GPU


def share_of_cores(worker: int, n_workers: int, n_cores: int) -> range:
    """Tell which of the cores, counted from 0, are a worker's; several share one if they must."""
    if n_workers >= n_cores:
        return range(worker % n_cores, worker % n_cores + 1)
    return range(worker * n_cores // n_workers, (worker + 1) * n_cores // n_workers)
