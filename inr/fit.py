"""Fits the weights of one field to one picture, down to the integer codes that the file holds.

What goes in, what comes out, and the retry after a NaN; fitting.py holds the loop over blocks of
steps, fit_step.py the step itself.
"""

from collections.abc import Callable

from inr.checkpoint import Checkpoint
from inr.fields.protocol import Field
from inr.fit_settings import FitSettings
from inr.fit_types import Budget, FitError, Fitted, NotANumberError, Progress, Signal
from inr.fitting import Fitting
from inr.quantize.uniform import Uniform

_MAX_RETRIES = 3  # after a NaN, each at half the rate


def fit(
    net: Field,
    signal: Signal,
    quantizer: Uniform,
    settings: FitSettings,
    budget: Budget,
    *,
    seed: int,
    deadline: float | None = None,
    checkpoint: Checkpoint | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fits the field to the signal.

    Args:
      seed: of the first weights, the order of pixels and the noise.
      deadline: time.monotonic() at which to be done; the schedule is shortened to meet it.
      checkpoint: where to save the state every few seconds, and where to go on from.
      report: called after each block.
    Raises:
      FitError: NaN in spite of lower rates, or codes that do not fit the budget.
    """
    fitting = Fitting(net, signal, quantizer, settings, budget, seed, deadline)
    for attempt in range(_MAX_RETRIES + 1):
        try:
            return fitting.run(0.5**attempt, checkpoint, report)
        except NotANumberError as error:
            step = error.step
    raise FitError(
        f"the loss stopped being a number at step {step}, also at 1/{2**_MAX_RETRIES} of the "
        "learning rate; give a lower fit.optimizer.learning_rate"
    )
