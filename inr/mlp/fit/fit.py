"""Fits the weights of fields to pictures, down to the integer codes that a file holds.

What goes in, what comes out, and the retry after a NaN; fitting.py holds the loop over blocks of
steps, fit_step.py the step itself.
"""

import math
from collections.abc import Callable, Sequence

from inr.errors import FitError
from inr.fitting.checkpoint import StateStore
from inr.fitting.time_budget import TimeBudget
from inr.mlp.fit.problem import FitProblem, FitResult, NotANumberError
from inr.mlp.fit.program import Fitting
from inr.mlp.fit.settings import FitSettings
from inr.options import Progress

_MAX_RETRIES = 3  # after a NaN, each at half the rate


def fit(
    job: FitProblem,
    settings: FitSettings,
    *,
    time_budget: TimeBudget | None = None,
    store: StateStore | None = None,
    report: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Fits one job.

    Args:
      time_budget: the schedule is shortened to keep it.
      store: where to save the state every few seconds, and where to go on from, in whichever try
        it was.
      report: called after each block.
    Raises:
      FitError: NaN in spite of lower rates, or codes that do not fit the budget.
      UsageError: a time budget that cannot be kept, or a checkpoint of something else.
    """
    fitting = Fitting([job], settings, time_budget)
    stored = None if store is None else store.load()
    run = None if stored is None else fitting.restored(stored)
    first_try = 0 if run is None else round(-math.log2(run.rate_scale))
    for attempt in range(first_try, _MAX_RETRIES + 1):
        try:
            return fitting.run(0.5**attempt, run, store, report)[0]
        except NotANumberError as error:
            run, step = None, error.step
    raise FitError(
        f"the loss stopped being a number at step {step}, also at 1/{2**_MAX_RETRIES} of the "
        "learning rate; give a lower fit.optimizer.learning_rate"
    )


def fit_batch(
    jobs: Sequence[FitProblem],
    settings: FitSettings,
    *,
    report: Callable[[Progress], None] | None = None,
) -> list[FitResult]:
    """Fits several like jobs at once (see `Fitting`); one by one if one of them fails.

    Sums run in another order than in `fit`, so the codes differ from its codes in the last bits.
    """
    if len(jobs) > 1:
        try:
            return Fitting(jobs, settings).run(report=report)
        except (NotANumberError, FitError):
            pass  # of a single job; which one, and whether a lower rate helps, `fit` finds out
    return [fit(job, settings, report=report) for job in jobs]
