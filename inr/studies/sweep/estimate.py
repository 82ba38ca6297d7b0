"""How long a sweep will take: from the work of its fits and a quick look at this machine's speed.

Kept free of jax, so that `--dry-run` answers at once.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inr.exact.threads import available_cores, one_blas_thread

if TYPE_CHECKING:
    from inr.studies.sweep.ledger import Result
    from inr.studies.sweep.plan import Run

_COMPILE_SECONDS = 7.0  # of a shape; measured at 4 to 8 on two cores
_OTHER_SECONDS = 1.0  # a run: first weights, coding, drawing, measuring
_FIT_SHARE = 0.6  # of the speed of plain matrix products that a fit reaches
_PROBE_SECONDS = 0.2


@dataclass(frozen=True)
class Speed:
    """What the seconds of a fit are reckoned from."""

    core_flops: float  # floating-point operations a second and core, of matrix products
    correction: float = 1.0  # measured seconds over reckoned ones, of earlier runs
    n_measured: int = 0  # earlier runs behind the correction

    def seconds(self, works: Sequence[float], cores: int) -> float:
        """Seconds of one batch of fits on so many cores."""
        fitting = sum(works) / (_FIT_SHARE * self.core_flops * cores)
        return self.correction * (_COMPILE_SECONDS + _OTHER_SECONDS * len(works) + fitting)

    def told(self) -> str:
        """What the estimate rests on, in words."""
        text = (
            f"the estimate rests on {self.core_flops / 1e9:.0f} billion operations a second and "
            f"core in a matrix product, measured for {_PROBE_SECONDS} s"
        )
        if self.n_measured == 0:
            return f"{text}, and on no finished run; it may be off by a factor of three"
        return f"{text}, times {self.correction:.2f} as {self.n_measured} finished runs took"


def measured_speed(earlier: Sequence["Result"]) -> Speed:
    """The speed of this machine's matrix products, corrected by the seconds of earlier runs."""
    plain = Speed(_probed_flops())
    if not earlier:
        return plain
    reckoned = sum(
        plain.seconds([run.work] * run.n_together, run.cores) / run.n_together for run in earlier
    )
    return Speed(
        plain.core_flops, sum(run.seconds for run in earlier) / reckoned, n_measured=len(earlier)
    )


def total_seconds(groups: Sequence[Sequence["Run"]], speed: Speed, jobs: int) -> float:
    """Seconds of all groups, jobs at a time, each on its share of the cores."""
    jobs = max(1, min(jobs, len(groups)))
    cores = max(1, available_cores() // jobs)
    each = [speed.seconds([run.work for run in group], cores) for group in groups]
    return max(sum(each) / jobs, max(each, default=0.0))


def _probed_flops() -> float:
    """Of one core, in the fastest of many products: other processes slow down the rest."""
    weights, points = np.ones((64, 64), np.float32), np.ones((64, 8192), np.float32)
    fastest, started_at = math.inf, time.perf_counter()
    with one_blas_thread():
        while time.perf_counter() - started_at < _PROBE_SECONDS:
            product_at = time.perf_counter()
            weights @ points
            fastest = min(fastest, time.perf_counter() - product_at)
    return 2.0 * weights.shape[0] * points.size / fastest
