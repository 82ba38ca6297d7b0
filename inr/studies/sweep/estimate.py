"""How long a sweep will take: from the work of its fits and a quick look at this machine's speed.

Kept free of jax, so that `--dry-run` answers at once.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inr.exact.threads import available_cores, one_blas_thread
from inr.studies.sweep.plan import Plan
from inr.studies.sweep.request import Group, Result

_COMPILE_SECONDS = 7.0  # of a shape; measured at 4 to 8 on two cores
_OTHER_SECONDS = 1.0  # a run: first weights, coding, drawing, measuring
_FIT_SHARE = 0.6  # of the speed of plain matrix products that a fit reaches
_PROBE_SECONDS = 0.2


@dataclass(frozen=True)
class Speed:
    """What the seconds of a fit are computed from."""

    core_flops: float  # floating-point operations a second and core, of matrix products
    correction: float = 1.0  # measured seconds over estimated ones, of earlier runs
    n_measured: int = 0  # earlier runs behind the correction

    def seconds(self, works: Sequence[float], cores: int) -> float:
        """Estimate the seconds of one batch of fits on so many cores."""
        fitting = sum(works) / (_FIT_SHARE * self.core_flops * cores)
        return self.correction * (_COMPILE_SECONDS + _OTHER_SECONDS * len(works) + fitting)

    def describe(self) -> str:
        """Say in words what the estimate rests on."""
        text = (
            f"the estimate rests on {self.core_flops / 1e9:.0f} billion operations a second and "
            f"core in a matrix product, measured for {_PROBE_SECONDS} s"
        )
        if self.n_measured == 0:
            return f"{text}, and on no finished run; it may be off by a factor of three"
        return f"{text}, times {self.correction:.2f} as {self.n_measured} finished runs took"


_NOMINAL = Speed(core_flops=5e10)  # where only the groups' shares of the whole count


def estimate_sweep(plan: Plan) -> tuple[float, str]:
    """Estimate the seconds that a planned sweep will take, and say what that rests on."""
    speed = correct_speed(probe_flops(), plan.earlier)
    seconds = total_seconds(plan.groups, speed, jobs=plan.jobs, cores=available_cores())
    return seconds, speed.describe()


def correct_speed(core_flops: float, earlier: Sequence[Result]) -> Speed:
    """Correct the speed of this machine's matrix products by the seconds of earlier runs."""
    plain = Speed(core_flops)
    if not earlier:
        return plain
    estimated = sum(
        plain.seconds([run.work] * run.n_together, run.cores) / run.n_together for run in earlier
    )
    correction = sum(run.seconds for run in earlier) / estimated
    return Speed(core_flops, correction, n_measured=len(earlier))


def total_seconds(groups: Sequence[Group], speed: Speed, *, jobs: int, cores: int) -> float:
    """Estimate the seconds of all groups, jobs at a time, each on its share of the cores."""
    jobs = max(1, min(jobs, len(groups)))
    each = [speed.seconds([run.work for run in group], max(1, cores // jobs)) for group in groups]
    return max(sum(each) / jobs, max(each, default=0.0))


def shares_of_work(groups: Sequence[Group]) -> dict[str, float]:
    """Tell how much of the whole each run is, by config hash; the shares add up to 1."""
    seconds = {
        run.config_hash: _NOMINAL.seconds([run.work for run in group], cores=1) / len(group)
        for group in groups
        for run in group
    }
    whole = sum(seconds.values())
    return {config_hash: part / whole for config_hash, part in seconds.items()}


def probe_flops() -> float:
    """Measure one core in the fastest of many products: other processes slow down the rest."""
    weights, points = np.ones((64, 64), np.float32), np.ones((64, 8192), np.float32)
    fastest, started_at = math.inf, time.perf_counter()
    with one_blas_thread():
        while time.perf_counter() - started_at < _PROBE_SECONDS:
            product_at = time.perf_counter()
            weights @ points
            fastest = min(fastest, time.perf_counter() - product_at)
    return 2.0 * weights.shape[0] * points.size / fastest


def list_plan(plan: Plan) -> list[str]:
    """Write a line for each run: what it is, and in which batch it will be fitted."""
    batches = {
        run.config_hash: f"batch {i}" for i, group in enumerate(plan.groups) for run in group
    }
    return [f"{run.label}  {batches.get(run.config_hash, 'done')}" for run in plan.runs]
