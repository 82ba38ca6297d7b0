"""Fits the weights of fields to pictures, down to the integer codes that a file holds.

What goes in, what comes out, and the retry after a NaN; fitting.py holds the loop over blocks of
steps, fit_step.py the step itself.
"""

from collections.abc import Callable, Sequence

from inr.checkpoint import Checkpoint
from inr.errors import FitError
from inr.fit_settings import FitSettings
from inr.fit_types import Fitted, Job, NotANumberError, Progress
from inr.fitting import Fitting

_MAX_RETRIES = 3  # after a NaN, each at half the rate


def fit(
    job: Job,
    settings: FitSettings,
    *,
    deadline: float | None = None,
    checkpoint: Checkpoint | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fits one job.

    Args:
      deadline: time.monotonic() at which to be done; the schedule is shortened to meet it.
      checkpoint: where to save the state every few seconds, and where to go on from.
      report: called after each block.
    Raises:
      FitError: NaN in spite of lower rates, or codes that do not fit the budget.
    """
    fitting = Fitting([job], settings, deadline)
    for attempt in range(_MAX_RETRIES + 1):
        try:
            return fitting.run(0.5**attempt, checkpoint, report)[0]
        except NotANumberError as error:
            step = error.step
    raise FitError(
        f"the loss stopped being a number at step {step}, also at 1/{2**_MAX_RETRIES} of the "
        "learning rate; give a lower fit.optimizer.learning_rate"
    )


def fit_batch(
    jobs: Sequence[Job],
    settings: FitSettings,
    *,
    report: Callable[[Progress], None] | None = None,
) -> list[Fitted]:
    """Fits several like jobs at once (see `Fitting`); one by one if one of them fails.

    Sums run in another order than in `fit`, so the codes differ from its codes in the last bits.
    """
    if len(jobs) > 1:
        try:
            return Fitting(jobs, settings).run(report=report)
        except (NotANumberError, FitError):
            pass  # of a single job; which one, and whether a lower rate helps, `fit` finds out
    return [fit(job, settings, report=report) for job in jobs]
