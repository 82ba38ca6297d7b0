"""From float weights to codes whose file meets the target; the numpy half of a fit."""

from collections.abc import Callable

import numpy as np

from inr.errors import FitError
from inr.mlp.fit.problem import AllQParams, Codes, FitProblem, FitResult
from inr.mlp.quantize.ste import away_from_zero_numpy
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.size import AIM, MAX_BITS
from inr.mlp.sparsify.masks import n_kept_weights

_FIXED = Uniform(bits=16)  # tensors that are not trained lie on a grid of known step
_NEAR = 0.003  # of the target: a file this near to what is aimed at is left as it is
_TRIMS = np.arange(1, 9) / 32  # steps by which weights are moved towards 0 before rounding

_LOWEST = 0.975  # of the target: a file below it is tried again with finer qparams
_MAX_TRIALS = 30
_NUDGE = 1 / 32  # log2; doubled until a codebook, which loses whole qparams, becomes coarser
_MAX_NUDGE = 16.0


class WeightQuantizer:
    """Turns the weights of one problem into codes, corrected by the size of the real file.

    Its methods take f32 tensors by name (`params`, all of them in file order), bool masks of the
    sparse ones among them, and qparams of the trained ones.
    """

    def __init__(self, problem: FitProblem, keep_counts: dict[str, int]) -> None:
        self._problem, self._quantizer = problem, problem.quantizer
        self._fixed_steps = problem.field_set.fixed_steps()
        self.n_kept = n_kept_weights(problem.field_set.trained_shapes(), keep_counts)

    def quantize_weights(self, params: Codes, masks: Codes, qparams: AllQParams) -> Codes:
        """Return the codes of all tensors, in file order; those of masked weights are 0."""
        codes = {}
        for name, w in params.items():
            if name in self._fixed_steps:
                codes[name] = _FIXED.quantize(w, self._fixed_steps[name])
                continue
            if name in masks:
                if self._quantizer.LEARNS_STEPS:
                    w = away_from_zero_numpy(w, float(qparams[name]))
                w = np.where(masks[name], w, np.float32(0))
            codes[name] = self._quantizer.quantize(w, qparams[name])
        return codes

    def quantize_with_steps(self, params: Codes, q_steps: dict[str, float]) -> Codes:
        """Return the codes of the tensors that have a step, whatever the file could hold."""
        return {
            name: _FIXED.quantize(w, q_steps[name]) for name, w in params.items() if name in q_steps
        }

    def count_bytes(self, params: Codes, masks: Codes, qparams: AllQParams) -> int:
        """Return the length of the file with these weights."""
        codes = self.quantize_weights(params, masks, qparams)
        return len(self._problem.budget.file_of(codes, qparams))

    def is_small_enough(self, params: Codes, masks: Codes, qparams: AllQParams) -> bool:
        """Say whether the file with these weights meets its target."""
        max_bytes = self._problem.budget.max_bytes
        return max_bytes is None or self.count_bytes(params, masks, qparams) <= max_bytes

    def choose_qparams(self, params: Codes, q_steps: dict[str, float]) -> AllQParams:
        """Return the steps learned, as the file can hold them, or what a quantizer that learns no
        steps fits to the weights."""
        qparams = {}
        for name, w in params.items():
            if name in self._fixed_steps:
                continue
            if self._quantizer.LEARNS_STEPS:
                learned = np.array(q_steps[name], np.float32)
                qparams[name] = self._quantizer.scale_qparams(learned, 0.0, w)
            else:
                qparams[name] = self._quantizer.fit_qparams(w)
        return qparams

    def correct_qparams(self, params: Codes, masks: Codes, qparams: AllQParams) -> AllQParams:
        """Scale learned steps so that the file has the size aimed at, if it has a target."""
        max_bytes = self._problem.budget.max_bytes
        if max_bytes is None or not self._quantizer.LEARNS_STEPS:
            return qparams
        for _ in range(2):
            excess_bytes = self.count_bytes(params, masks, qparams) - AIM * max_bytes
            if abs(excess_bytes) <= _NEAR * max_bytes:
                break
            qparams = self._scale(qparams, 8 * excess_bytes / self.n_kept, params)
        return qparams

    def meet_target(
        self, params: Codes, masks: Codes, qparams: AllQParams, n_steps: int
    ) -> FitResult:
        """Return the codes; the qparams change only if the file with them misses its target.

        Raises:
          FitError: no qparams make the file small enough.
        """
        max_bytes = self._problem.budget.max_bytes
        if max_bytes is not None:
            trimmed = self._trim(params, masks, qparams, max_bytes)
            if trimmed is not None:
                return FitResult(trimmed, qparams, n_steps)
            found = find_qparams(
                qparams,
                max_bytes=max_bytes,
                n_weights=self.n_kept,
                scale=lambda qparams, log2_factor: self._scale(qparams, log2_factor, params),
                count_bytes=lambda qparams: self.count_bytes(params, masks, qparams),
            )
            if found is None:
                raise FitError(
                    f"{self.n_kept} weights do not fit into {max_bytes} bytes; "
                    "give a larger target or a smaller field.hidden"
                )
            qparams = found
        return FitResult(self.quantize_weights(params, masks, qparams), qparams, n_steps)

    def _scale(self, qparams: AllQParams, log2_factor: float, params: Codes) -> AllQParams:
        return {
            name: self._quantizer.scale_qparams(each, log2_factor, params[name])
            for name, each in qparams.items()
        }

    def _trim(
        self, params: Codes, masks: Codes, qparams: AllQParams, max_bytes: int
    ) -> Codes | None:
        """Make a file that is a little too large smaller by rounding more weights towards 0.

        A weight between two codes takes the smaller one, the more of them the larger the trim.
        To scale all steps would undo the training with just these.

        Returns:
          None where steps are not learned, the file is small enough, or this does not suffice.
        """
        if not self._quantizer.LEARNS_STEPS or self.is_small_enough(params, masks, qparams):
            return None
        for trim in _TRIMS:
            moved = {name: _move_to_zero(w, qparams.get(name), trim) for name, w in params.items()}
            codes = self.quantize_weights(moved, masks, qparams)
            if len(self._problem.budget.file_of(codes, qparams)) <= max_bytes:
                return codes
        return None


def _move_to_zero(w: np.ndarray, q_step: np.ndarray | None, trim: float) -> np.ndarray:
    """Move weights by trim steps towards 0; those of no step stay."""
    if q_step is None:
        return w
    moved: np.ndarray = np.sign(w) * np.maximum(np.abs(w) - np.float32(trim) * q_step, 0)
    return moved


def find_qparams(
    qparams: AllQParams,
    *,
    max_bytes: int,
    n_weights: int,
    scale: Callable[[AllQParams, float], AllQParams],
    count_bytes: Callable[[AllQParams], int],
) -> AllQParams | None:
    """Find qparams whose file has at most max_bytes and, if it can be, at least 97.5 % of them.

    All are made coarser or finer by one factor. Guesses follow from the rate, about one bit a
    code for each factor of 2; what they leave of the bracket is halved where they leave it.

    Args:
      qparams: where to begin; they are returned as they are if their file meets the target.
      n_weights: number of codes that are not masked.
      scale: (qparams, log2_factor) -> coarser ones, as a file can hold them.
      count_bytes: qparams -> size of the file with them.
    Returns:
      The qparams of the largest file that is small enough, or None where none was found.
    """
    enough_bytes = min(_LOWEST * max_bytes, MAX_BITS * n_weights / 8)
    log2_factor, too_fine, coarse_enough = 0.0, -np.inf, np.inf
    tried, best, best_bytes = qparams, None, 0
    for _ in range(_MAX_TRIALS):
        n_bytes = count_bytes(tried)
        if n_bytes > max_bytes:
            too_fine = max(too_fine, log2_factor)
        else:
            coarse_enough = min(coarse_enough, log2_factor)
            if n_bytes > best_bytes:
                best, best_bytes = tried, n_bytes
        if best_bytes >= enough_bytes:
            return best
        guess = log2_factor + float(np.clip(8 * (n_bytes - AIM * max_bytes) / n_weights, -1, 1))
        if not too_fine < guess < coarse_enough:
            guess = float(too_fine + coarse_enough) / 2
        log2_factor, before, tried = guess, tried, scale(qparams, guess)
        nudge = _NUDGE
        while best is None and nudge < _MAX_NUDGE and _are_same(tried, before):
            log2_factor, nudge = log2_factor + nudge, 2 * nudge
            tried = scale(qparams, log2_factor)
        if _are_same(tried, before):  # as fine as codes, or as near as the file's steps, allow
            break
    if best is None or too_fine == -np.inf:
        return best
    # The size jumps between the two, as that of codebooks where a level is lost: tensor by tensor.
    finer = scale(qparams, float(too_fine))
    for name in finer:
        mixed = best | {name: finer[name]}
        n_bytes = count_bytes(mixed)
        if best_bytes < n_bytes <= max_bytes:
            best, best_bytes = mixed, n_bytes
    return best


def _are_same(a: AllQParams, b: AllQParams) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)
