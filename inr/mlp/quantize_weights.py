"""From float weights to codes whose file meets the target; the numpy half of a fit."""

import numpy as np

from inr.errors import FitError
from inr.mlp.fit.problem import AllLevels, Codes, FitProblem, FitResult
from inr.mlp.landing import landed_levels
from inr.mlp.quantize.ste import away_from_zero_numpy
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.size import AIM
from inr.mlp.sparsify.masks import n_kept_weights

_FIXED = Uniform(bits=16)  # tensors that are not trained lie on a grid of known step
_NEAR = 0.003  # of the target: a file this near to what is aimed at is left as it is
_TRIMS = np.arange(1, 9) / 32  # steps by which weights are moved towards 0 before rounding


class Finisher:
    """Turns the weights of one job into codes, corrected by the size of the real file."""

    def __init__(self, job: FitProblem, keep_counts: dict[str, int]) -> None:
        self._job, self._quantizer = job, job.quantizer
        self._fixed_steps = job.field_set.fixed_steps()
        self.n_kept = n_kept_weights(job.field_set.trained_shapes(), keep_counts)

    def rounded(self, params: Codes, q_steps: dict[str, float]) -> Codes:
        """The trained tensors as codes of plain steps."""
        return {
            name: _FIXED.codes(w, q_steps[name]) for name, w in params.items() if name in q_steps
        }

    def first_levels(self, params: Codes, q_steps: dict[str, float]) -> AllLevels:
        """Levels of the trained tensors: the steps learned, as the file can hold them, or fitted
        to the weights by quantizers that learn none."""
        levels = {}
        for name, w in params.items():
            if name in self._fixed_steps:
                continue
            if self._quantizer.LEARNS_STEPS:
                learned = np.array(q_steps[name], np.float32)
                levels[name] = self._quantizer.scaled(learned, 0.0, w)
            else:
                levels[name] = self._quantizer.fitted(w)
        return levels

    def scaled(self, levels: AllLevels, octaves: float, params: Codes) -> AllLevels:
        """All levels made coarser by 2**octaves."""
        return {
            name: self._quantizer.scaled(each, octaves, params[name])
            for name, each in levels.items()
        }

    def corrected(self, params: Codes, masks: Codes, levels: AllLevels) -> AllLevels:
        """The levels scaled so that the file has the size aimed at, if it has a target."""
        max_bytes = self._job.budget.max_bytes
        if max_bytes is None or not self._quantizer.LEARNS_STEPS:
            return levels
        for _ in range(2):
            excess_bytes = self.n_bytes(params, masks, levels) - AIM * max_bytes
            if abs(excess_bytes) <= _NEAR * max_bytes:
                break
            levels = self.scaled(levels, 8 * excess_bytes / self.n_kept, params)
        return levels

    def landed(self, params: Codes, masks: Codes, levels: AllLevels, n_steps: int) -> FitResult:
        """The codes, with levels changed only if their file misses the target.

        Raises:
          FitError: no levels make the file small enough.
        """
        max_bytes = self._job.budget.max_bytes
        if max_bytes is not None:
            trimmed = self._trimmed(params, masks, levels, max_bytes)
            if trimmed is not None:
                return FitResult(trimmed, levels, n_steps)
            found = landed_levels(
                levels,
                max_bytes,
                lambda levels, octaves: self.scaled(levels, octaves, params),
                lambda levels: self.n_bytes(params, masks, levels),
                self.n_kept,
            )
            if found is None:
                raise FitError(
                    f"{self.n_kept} weights do not fit into {max_bytes} bytes; "
                    "give a larger target or a smaller field.hidden"
                )
            levels = found
        return FitResult(self.coded(params, masks, levels), levels, n_steps)

    def fits(self, params: Codes, masks: Codes, levels: AllLevels) -> bool:
        """Whether the file with these weights meets its target."""
        max_bytes = self._job.budget.max_bytes
        return max_bytes is None or self.n_bytes(params, masks, levels) <= max_bytes

    def _trimmed(
        self, params: Codes, masks: Codes, levels: AllLevels, max_bytes: int
    ) -> Codes | None:
        """Codes of a file that was a little too large: of weights between two codes, the more the
        longer they are half-way, the smaller one is taken. Rescaling all levels would undo the
        training with just these. None where it does not apply or is not enough."""
        if not self._quantizer.LEARNS_STEPS or self.n_bytes(params, masks, levels) <= max_bytes:
            return None
        for trim in _TRIMS:
            codes = self.coded(
                {name: _towards_zero(w, levels.get(name), trim) for name, w in params.items()},
                masks,
                levels,
            )
            if len(self._job.budget.file_of(codes, levels)) <= max_bytes:
                return codes
        return None

    def n_bytes(self, params: Codes, masks: Codes, levels: AllLevels) -> int:
        return len(self._job.budget.file_of(self.coded(params, masks, levels), levels))

    def coded(self, params: Codes, masks: Codes, levels: AllLevels) -> Codes:
        """All tensors in file order as codes."""
        codes = {}
        for name, w in params.items():
            if name in self._fixed_steps:
                codes[name] = _FIXED.codes(w, self._fixed_steps[name])
                continue
            if name in masks:
                if self._quantizer.LEARNS_STEPS:
                    w = away_from_zero_numpy(w, float(levels[name]))
                w = np.where(masks[name], w, np.float32(0))
            codes[name] = self._quantizer.codes(w, levels[name])
        return codes


def _towards_zero(w: np.ndarray, q_step: np.ndarray | None, trim: float) -> np.ndarray:
    """The weights moved by trim steps towards zero; those of no step as they are."""
    if q_step is None:
        return w
    moved: np.ndarray = np.sign(w) * np.maximum(np.abs(w) - np.float32(trim) * q_step, 0)
    return moved
