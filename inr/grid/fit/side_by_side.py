"""Programs of one tile, run for many tiles: one on each core.

jax itself gives a CPU one program after the other, and shares the loops of each among the cores.
Those of a tile are too short for that: on two cores a step took 1.25 times as long.
"""

import functools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from inr.exact.threads import available_cores
from inr.fitting.jax_settings import device, own_jax_settings

_AT_ONCE = 64  # tiles that are begun before the first is asked for
# A loop stays on its core. The older of XLA's emitters would compile in half the time, and what
# they make takes 1.25 times as long.
COMPILER_OPTIONS = {"xla_cpu_multi_thread_eigen": False}


class TileProgram:
    """A function of the arrays of one tile."""

    def __init__(self, function: Callable[..., Any], static: tuple[str, ...]) -> None:
        """static: names of the arguments that are no arrays; they decide all shapes."""
        self._jitted = jax.jit(function, static_argnames=static, compiler_options=COMPILER_OPTIONS)
        self._compiled: dict[Hashable, Any] = {}

    def map(self, jobs: Iterable[tuple[Any, ...]], **static: Hashable) -> Iterator[Any]:
        """Yield what the function makes of each job's arrays, in their order, as numpy arrays."""
        begun: deque[Future[Any]] = deque()
        compiled = None  # looked up once: all jobs have the same shapes
        for job in jobs:
            compiled = compiled or self._compile(job, static)
            begun.append(_pool().submit(_run, compiled, job))
            if len(begun) == _AT_ONCE:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    def _compile(self, job: tuple[Any, ...], static: dict[str, Hashable]) -> Any:
        """Compile for the device of this thread: another thread would not know it."""
        key = (device(), *static.items())
        if key not in self._compiled:
            self._compiled[key] = self._jitted.lower(*job, **static).compile()
        return self._compiled[key]


def _run(compiled: Any, job: tuple[Any, ...]) -> Any:
    with own_jax_settings():  # settings hold for a thread
        return jax.tree.map(np.asarray, compiled(*job))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="tile")
