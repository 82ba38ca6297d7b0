"""From float weights to codes whose file meets the target; the numpy half of a fit."""

import numpy as np

from inr.fields.protocol import n_weights
from inr.fit_types import AllLevels, Codes, FitError, Fitted, Job
from inr.landing import landed_levels
from inr.quantize.ste import away_from_zero_numpy
from inr.quantize.uniform import Uniform
from inr.sizing import AIM

_FIXED = Uniform(bits=16)  # tensors that are not trained lie on a grid of known step


class Finisher:
    """Turns the weights of one job into codes, corrected by the size of the real file."""

    def __init__(self, job: Job, keep_counts: dict[str, int]) -> None:
        self._job, self._quantizer = job, job.quantizer
        self._fixed_steps = job.joint.fixed_steps()
        trained = job.joint.trained_shapes()
        n_masked = n_weights({name: trained[name] for name in keep_counts})
        self.n_kept = n_weights(trained) - n_masked + sum(keep_counts.values())

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
            excess_bits = 8 * (self.n_bytes(params, masks, levels) - AIM * max_bytes)
            levels = self.scaled(levels, excess_bits / self.n_kept, params)
        return levels

    def landed(self, params: Codes, masks: Codes, levels: AllLevels, n_steps: int) -> Fitted:
        """The codes, with levels changed only if their file misses the target.

        Raises:
          FitError: no levels make the file small enough.
        """
        max_bytes = self._job.budget.max_bytes
        if max_bytes is not None:
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
        return Fitted(self.coded(params, masks, levels), levels, n_steps)

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
