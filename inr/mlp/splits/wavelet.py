"""Wavelet bands: the approximation has one field, the details of each level have another.

Transform: PyWavelets' dwt2, mode "symmetric". "periodization" gives exactly as many coefficients
as samples, but mixes each edge with the opposite one. On eight photographs, with the bands drawn
from the largest 2 % of their cosine coefficients, both come to 27.0 dB over the picture, while
within 8 pixels of its edge "symmetric" is better by 0.6 dB (db3, 1 level). Its price is
filter length / 2 - 1 more rows and columns a band: 1.3 % more samples to fit, and no byte, since
the file holds weights, not coefficients.

Colour: the first three of 3 or 4 channels turn into one axis of brightness and two of colour, of
unit length and at right angles. With an orthonormal wavelet (haar, db*, sym*, coif*) squared
errors then add up: inside exactly, while at the edges those of the bands are the larger ones.

Depth: n levels need a shorter side of at least 2**(n - 1) pixels, so that each level has at least
one sample to halve.

Only `dmey`, whose filters are cut off, does not give the picture back: it is off by about 0.005.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from inr.errors import UsageError
from inr.format.wire import FloatField, NameField, VarintField, Wire, write_fields
from inr.image.picture import COLOUR_AXES
from inr.mlp.fields.protocol import Field, hidden_of
from inr.mlp.splits.protocol import Grid

_MODE = "symmetric"
_MAX_LEVELS = 8  # the approximation then has a 65536th of the samples
_MIN_HIDDEN = 4


def known_wavelets() -> list[str]:
    """Names of all discrete wavelets that PyWavelets offers, such as haar, db3 or bior4.4."""
    import pywt  # type: ignore[import-untyped]

    return list(pywt.wavelist(kind="discrete"))


def max_levels(height: int, width: int) -> int:
    """Return the most levels that a picture of that size can have."""
    return min(_MAX_LEVELS, min(height, width).bit_length())


@dataclass(frozen=True)
class Wavelet:
    """Groups: the last approximation, then the details of each level, coarse to fine.

    A detail group stacks its three bands, horizontal, vertical and diagonal, each with all colour
    channels, as the channels of one field.

    Of the largest 1.5 % of the coefficients of eight photographs (db3, 5 levels), 19 % lie in the
    finest details, 28 % and 22 % in the next two levels. Hence the default low_share for one
    level, and equal parts for the details of each level; for 2 and 3 levels the same count gives
    low_share 0.5 and 0.3.
    """

    wavelet: str = "db3"  # one of `known_wavelets()`
    levels: int = 1  # 1..8, but at most `max_levels` of the picture
    low_share: float = 0.8  # of the weights, for the approximation; the rest in equal parts

    WIRE: ClassVar[Wire] = (
        ("wavelet", NameField(16, known_wavelets)),
        ("levels", VarintField(1, _MAX_LEVELS)),
        # Exact in float32, so that what may be written may be read.
        ("low_share", FloatField(1 / 64, 63 / 64)),
    )
    HAS_BANDS: ClassVar[bool] = True

    def __post_init__(self) -> None:
        write_fields(self)  # ValueError for what no file can hold

    def grids(self, height: int, width: int, n_channels: int) -> tuple[Grid, ...]:
        """One grid a group, coarsest first.

        Raises:
          ValueError: more levels than `max_levels(height, width)`.
        """
        *finer, coarsest = self._sizes(height, width)[1:]
        sizes = [coarsest, *reversed(finer)]
        details = [Grid(rows, cols, 3 * n_channels) for rows, cols in sizes]
        return (Grid(*coarsest, n_channels), *details)

    def fields(self, field: Field, n_channels: int) -> tuple[Field, ...]:
        """Width of a group: hidden * sqrt(its share of the weights), rounded, at least 4.

        Weights grow about as the square of the width. All else is that of `field`.
        """
        low = float(np.float32(self.low_share))  # as the file holds it: encoder and decoder agree
        shares = [low, *[(1 - low) / self.levels] * self.levels]
        hidden = hidden_of(field)
        widths = [max(_MIN_HIDDEN, round(hidden * math.sqrt(share))) for share in shares]
        return tuple(field.with_size(hidden, field.n_layers) for hidden in widths)

    def forward(self, samples: np.ndarray) -> list[np.ndarray]:
        """Split a picture; see `Split.forward`.

        Args:
          samples: f64 [height, width, n_channels] in 0..1.
        Returns:
          f64 [height, width, n_channels] for each of `grids`, of samples - 0.5.
        Raises:
          ValueError: too many levels for that size.
        """
        import pywt

        height, width, n_channels = samples.shape
        self._sizes(height, width)  # refuses too many levels
        approximation = (samples - 0.5) @ _axes(n_channels).T
        groups: list[np.ndarray] = []
        for _ in range(self.levels):
            approximation, details = pywt.dwt2(approximation, self.wavelet, _MODE, axes=(0, 1))
            groups.insert(0, np.concatenate(details, axis=2))  # [rows, cols, 3 * n_channels]
        return [approximation, *groups]

    def inverse(self, bands: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """Join the bands; the inverse of `forward`.

        Args:
          bands: f32 or f64, finite, shaped as `grids` says.
        Returns:
          f64 [height, width, n_channels], about 0..1, not clipped.
        Raises:
          ValueError: bands of another shape, or too many levels for that size.
        """
        import pywt

        n_channels = bands[0].shape[2]
        grids = self.grids(height, width, n_channels)
        expected = [(grid.height, grid.width, grid.n_channels) for grid in grids]
        if [band.shape for band in bands] != expected:
            given = [band.shape for band in bands]
            raise ValueError(f"bands of shapes {given}: expected {expected} from `forward`")
        approximation, *groups = [np.asarray(band, np.float64) for band in bands]
        finer_sizes = self._sizes(height, width)[-2::-1]
        for details, (rows, cols) in zip(groups, finer_sizes, strict=True):
            parts = tuple(np.split(details, 3, axis=2))  # 3 x [rows, cols, n_channels]
            joined = pywt.idwt2((approximation, parts), self.wavelet, _MODE, axes=(0, 1))
            approximation = joined[:rows, :cols]  # an odd side comes back with one sample more
        picture: np.ndarray = approximation @ _axes(n_channels) + 0.5
        return picture

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of the picture, then of the bands of each level, fine to coarse."""
        import pywt

        most = max_levels(height, width)
        if self.levels > most:
            raise UsageError(
                f"levels={self.levels} is too deep for a picture of {width}x{height} pixels; "
                f"use levels={most} or less"
            )
        n_taps = pywt.Wavelet(self.wavelet).dec_len
        sizes = [(height, width)]
        for _ in range(self.levels):
            rows, cols = (pywt.dwt_coeff_len(side, n_taps, _MODE) for side in sizes[-1])
            sizes.append((rows, cols))
        return sizes


def _axes(n_channels: int) -> np.ndarray:
    """Return the colour transform, f64 [n_channels, n_channels]; grey and alpha stay as they
    are."""
    axes = np.eye(n_channels)
    if n_channels >= 3:
        axes[:3, :3] = COLOUR_AXES
    return axes
