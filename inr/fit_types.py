"""What a fit is given and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Codes = dict[str, np.ndarray]  # int32 codes, or float weights, by name, in file order
Steps = dict[str, float]  # q_step by name


class FitError(RuntimeError):
    """The fit did not end in usable weights."""


@dataclass(frozen=True)
class Progress:
    """What `report` is told after each block."""

    step: int
    n_steps: int
    psnr_db: float  # over the block's batches with disturbed weights: a little pessimistic
    seconds_left: float


@dataclass(frozen=True)
class Signal:
    """What a field is fitted to."""

    samples: np.ndarray  # u8 or u16 [height * width, n_channels], row by row
    height: int
    width: int
    ranges: tuple[tuple[int, int], ...]  # per channel; the field's -1..1 spans it
    has_alpha: bool  # the last channel is alpha


@dataclass(frozen=True)
class Budget:
    """What the codes may cost."""

    bits: float  # of all codes together, as the quantizer estimates them
    max_bytes: int | None  # the file may not be larger; None: the estimate is all there is
    file_of: Callable[[Codes, Steps], bytes]  # the whole file with these codes


@dataclass(frozen=True)
class Fitted:
    """The result: weight = code * q_step."""

    codes: Codes
    q_steps: Steps
    n_steps: int


class NotANumberError(Exception):
    """The loss stopped being a number; the fit starts again at a lower rate."""

    def __init__(self, step: int) -> None:
        self.step = step
