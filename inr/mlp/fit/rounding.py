"""The end of a fit, in which weights are rounded: the quantizer's levels, corrected by the size of
the real file, the best snapshot, and its codes.
"""

from typing import TYPE_CHECKING

import numpy as np

from inr.mlp.fit.problem import AllLevels, Codes, FitResult, NotANumberError
from inr.mlp.fit.run import Run
from inr.mlp.quantize.ste import budgeted_steps
from inr.mlp.quantize.uniform import MAX_STEP

if TYPE_CHECKING:
    from inr.mlp.fit.program import Fitting

_TOO_LARGE = 1.0  # added to the error of a snapshot whose file is too large; errors are below 1


def freeze_or_correct(fitting: "Fitting", run: Run) -> None:
    """Fixes the quantizer's levels when rounding begins, and corrects them in the first two
    thirds of it, so that the real file meets the target."""
    if run.is_rounding and run.progress > 1 - (1 - fitting.rounding_from) / 3:
        return
    for i, member in enumerate(run.members):
        finisher = fitting.finishers[i]
        params, masks = fitting.numpy_params(run, i), fitting.numpy_masks(run, i)
        if member.levels is None:
            member.levels = first_levels(fitting, run, i, params)
        elif not fitting.jobs[i].quantizer.LEARNS_STEPS:
            member.levels = finisher.first_levels(params, {})
        member.levels = finisher.corrected(params, masks, member.levels)
        # Older snapshots are not comparable.
        member.best_error, member.best_params = float("inf"), None


def first_levels(fitting: "Fitting", run: Run, i: int, params: Codes) -> AllLevels:
    """The levels of job i with which rounding would begin now.

    Raises:
      NotANumberError: weights or steps that no file can hold, of a fit that has run away.
    """
    steps = _learned_steps(fitting, run, i)
    sizes = [*steps.values(), *(np.abs(w).max() for w in params.values())]
    if not all(size <= MAX_STEP for size in sizes):  # also for NaN
        raise NotANumberError(run.step)
    return fitting.finishers[i].first_levels(params, steps)


def _learned_steps(fitting: "Fitting", run: Run, i: int) -> dict[str, float]:
    """The steps of job i's tensors, at the budget unless a rate term chose them."""
    state = fitting.member(run.state, i)
    if fitting.settings.has_rate_term:
        # Beyond 1000, which no file can hold, Python raises OverflowError.
        return {name: 2.0 ** min(float(x), 1000.0) for name, x in state.log2_steps.items()}
    trained, budget_bits = fitting.loop.trained(state.params), fitting.jobs[i].budget.bits
    found = budgeted_steps(trained, state.log2_steps, budget_bits, state.masks)
    return {name: float(q_step) for name, q_step in found.items()}


def keep_best(fitting: "Fitting", run: Run) -> None:
    """Keeps the weights of each job if they are the best since its levels changed."""
    levels = fitting.device_levels(run)
    for i, member in enumerate(run.members):
        weights, masks = fitting.member((run.state.params, run.state.masks), i)
        data = fitting.data_of_each[i]
        error = float(fitting.loop.validate(weights, data, fitting.member(levels, i), masks))
        if not np.isfinite(error):  # the last step of a block shows only here
            raise NotANumberError(run.step)
        params = fitting.numpy_params(run, i)
        assert member.levels is not None
        if not fitting.finishers[i].fits(params, fitting.numpy_masks(run, i), member.levels):
            error += _TOO_LARGE  # to change its levels in the end would cost more than a block
        if member.best_params is None or error < member.best_error:
            member.best_error, member.best_params = error, params


def landed(fitting: "Fitting", run: Run, i: int) -> FitResult:
    """The best snapshot of job i as codes; its levels change only if the file missed its target."""
    member = run.members[i]
    assert member.best_params is not None
    assert member.levels is not None
    masks = fitting.numpy_masks(run, i)
    return fitting.finishers[i].landed(member.best_params, masks, member.levels, run.step)
