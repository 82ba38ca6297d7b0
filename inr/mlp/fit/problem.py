"""What a fit is given and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inr.mlp.fields.joint import FieldSet
from inr.mlp.quantize.protocol import QParams, Quantizer
from inr.mlp.sparsify.protocol import Sparsifier

Codes = dict[str, np.ndarray]  # int32 codes, or float weights, by name, in file order
AllQParams = dict[str, QParams]  # what maps the codes of each tensor to weights


@dataclass(frozen=True)
class Signal:
    """What one field is fitted to: a picture, or a group of its bands."""

    samples: np.ndarray  # u8, u16 or f32 [height * width, n_channels], row by row
    height: int
    width: int
    ranges: tuple[tuple[float, float], ...]  # per channel; the field's -1..1 spans it
    peak: float  # of the samples; errors are measured as fractions of it
    share: float = 1.0  # weight of this signal's mean squared error in that of the picture
    has_alpha: bool = False  # the last channel is alpha


@dataclass(frozen=True)
class Budget:
    """What the codes may cost."""

    bits: float  # of all codes together, as the quantizer estimates them
    n_pixels: int  # of the picture
    max_bytes: int | None  # the file may not be larger; None: the estimate is all there is
    file_of: Callable[[Codes, AllQParams], bytes]  # the whole file with these codes


@dataclass(frozen=True)
class FitProblem:
    """One fit: all that may differ between fits that run as one batch."""

    field_set: FieldSet
    signals: tuple[Signal, ...]  # one a field
    quantizer: Quantizer
    sparsifier: Sparsifier
    budget: Budget
    seed: int  # of the first weights, the order of pixels and the noise


@dataclass(frozen=True)
class FitResult:
    """The result: the codes of all tensors and what maps them to weights."""

    codes: Codes
    qparams: AllQParams
    n_steps: int
