"""Integer frequency tables of factorized densities, made once and stored with a model's weights.

Encoder and decoder read the stored integers, so that the floats they come from never decide how
bits are read. A density is stretched by lambda: there is a table for each of a few positions of
lambda, called knots, and each channel. A table is the frequencies of

    first, first + 1, .. first + length - 1, the escape for all other values

each at least LEAST_FREQUENCY, together 2**24. The values run from the first to the last that has a
mass of LEAST_MASS; of more than MOST_VALUES such, the MOST_VALUES in a row of largest mass.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.laplace_tables import LATENT_LIMIT, LEAST_FREQUENCY
from inr.coders.tensor_model import TOTAL
from inr.errors import FormatError

Floats = NDArray[np.float64]

LIMIT = LATENT_LIMIT  # largest |value|; escapes have room for it
LEAST_MASS = 2.0**-14  # of the outermost values; rarer ones may escape, for 14 bits more
MOST_VALUES = 1023  # bounds a table to 1024 entries
_N_PARTS = 8  # in which the points are evaluated, for the sake of memory
_FLOAT32_NOISE = 1e-6  # by which a cumulative function computed in float32 may fall


@dataclass(frozen=True)
class DensityTables:
    """Tables of n_knots positions of lambda and n channels, one after the other, knots first."""

    firsts: NDArray[np.int16]  # [n_knots, n], the smallest value that has a symbol
    lengths: NDArray[np.uint16]  # [n_knots, n], 1..MOST_VALUES values that have one
    frequencies: NDArray[np.uint32]  # [sum(lengths + 1)], the last of each table is the escape

    def row(self, knot: int, channel: int) -> NDArray[np.int64]:
        """Return int64[length + 1] frequencies, sum 2**24."""
        index = knot * self.lengths.shape[1] + channel
        start = int(self.lengths.reshape(-1)[:index].sum(dtype=np.int64)) + index
        stop = start + int(self.lengths[knot, channel]) + 1
        return self.frequencies[start:stop].astype(np.int64)

    def check(self) -> None:
        """Raise FormatError if these are not tables as `tables_of` makes them."""
        kinds = _kind(self.firsts), _kind(self.lengths)
        if self.firsts.ndim != 2 or not self.firsts.size:
            raise _bad(f"firsts are {kinds[0]}, not int16[knots, channels]")
        shape = list(self.firsts.shape)
        if kinds != (f"int16{shape}", f"uint16{shape}"):
            raise _bad(f"firsts and lengths are {kinds[0]} and {kinds[1]}, not int16 and uint16")
        lengths = self.lengths.astype(np.int64).reshape(-1)
        if lengths.min() < 1 or lengths.max() > MOST_VALUES:
            raise _bad(f"lengths span {lengths.min()}..{lengths.max()}, not 1..{MOST_VALUES}")
        firsts = self.firsts.astype(np.int64).reshape(-1)
        lowest, highest = firsts.min(), (firsts + lengths).max() - 1
        if lowest < -LIMIT or highest > LIMIT:
            raise _bad(f"values span {lowest}..{highest}, beyond +-{LIMIT}")
        stops = (lengths + 1).cumsum()
        if self.frequencies.dtype != np.uint32 or self.frequencies.shape != (stops[-1],):
            raise _bad(f"frequencies are {_kind(self.frequencies)}, not uint32[{stops[-1]}]")
        if self.frequencies.min() < LEAST_FREQUENCY:
            raise _bad(f"a frequency is {self.frequencies.min()}, below {LEAST_FREQUENCY}")
        sums = np.add.reduceat(self.frequencies.astype(np.int64), stops - lengths - 1)
        if (sums != TOTAL).any():
            raise _bad(f"a table sums to {sums[sums != TOTAL][0]}, not {TOTAL}")


def tables_of(cumulative: Callable[[Floats], Floats], stretches: Floats) -> DensityTables:
    """Make tables in which value v of channel j has the mass between (v -+ 1/2) / stretch.

    Args:
      cumulative: takes f64[points, n], gives f64[points, n] in 0..1: column j is the cumulative
        distribution function of channel j at the points of that column, hence never falls.
      stretches: f64[n_knots, n], positive.

    Raises:
      ValueError: stretches or what `cumulative` gives are something else.
    """
    stretches = np.asarray(stretches, np.float64)
    if stretches.ndim != 2 or not stretches.size:
        raise ValueError(f"stretches are {_kind(stretches)}; expected is f64[knots, channels]")
    if not ((stretches > 0) & np.isfinite(stretches)).all():
        raise ValueError(
            f"stretches span {stretches.min()}..{stretches.max()}; expected are positive numbers, "
            "so pass scales, not their logarithms"
        )
    firsts = np.empty(stretches.shape, np.int16)
    lengths = np.empty(stretches.shape, np.uint16)
    rows = []
    for knot, stretch in enumerate(stretches):
        for channel, mass in enumerate(_masses(cumulative, stretch)):
            start, stop = _span(mass)
            firsts[knot, channel] = start - LIMIT
            lengths[knot, channel] = stop - start
            rows.append(_frequencies(mass[start:stop]))
    return DensityTables(firsts, lengths, np.concatenate(rows).astype(np.uint32))


def _masses(cumulative: Callable[[Floats], Floats], stretch: Floats) -> Floats:
    """Masses f64[n, 2 * LIMIT + 1] of the values -LIMIT..LIMIT."""
    edges = np.arange(-LIMIT, LIMIT + 2) - 0.5  # [2 * LIMIT + 2]
    parts = np.array_split(edges[:, None], _N_PARTS)
    levels = np.concatenate([np.asarray(cumulative(part / stretch)) for part in parts])
    if levels.shape != (edges.size, stretch.size):
        raise ValueError(
            f"cumulative gave {list(levels.shape)} for points [{edges.size}, {stretch.size}]; it "
            "must keep the shape"
        )
    mass: Floats = np.diff(levels.astype(np.float64), axis=0)
    if not ((levels >= 0) & (levels <= 1)).all() or mass.min() < -_FLOAT32_NOISE:  # NaN neither
        raise ValueError(
            f"cumulative spans {levels.min()}..{levels.max()} and falls by up to {-mass.min()}; "
            "expected is a function that rises within 0..1, so pass probabilities, not logits"
        )
    return np.ascontiguousarray(np.maximum(mass, 0).T)


def _span(mass: Floats) -> tuple[int, int]:
    """Find where the values that have symbols start and stop."""
    likely = (mass >= LEAST_MASS).nonzero()[0]
    if not likely.size:
        likely = np.array([mass.argmax()])
    start, stop = int(likely[0]), int(likely[-1]) + 1
    if stop - start > MOST_VALUES:
        before = np.append(0, mass[start:stop].cumsum())
        start += int((before[MOST_VALUES:] - before[:-MOST_VALUES]).argmax())
        stop = start + MOST_VALUES
    return start, stop


def _frequencies(mass: Floats) -> NDArray[np.int64]:
    """LEAST_FREQUENCY for all; masses share what is left, and rounding goes to the largest."""
    mass = np.append(mass, max(0.0, 1 - mass.sum()))  # the escape
    spare = TOTAL - LEAST_FREQUENCY * mass.size
    found: NDArray[np.int64] = (mass * (spare / mass.sum())).astype(np.int64) + LEAST_FREQUENCY
    found[found.argmax()] += TOTAL - found.sum()
    return found


def _kind(x: np.ndarray) -> str:
    return f"{x.dtype}{list(x.shape)}"


def _bad(what: str) -> FormatError:
    return FormatError(f"density tables: {what}; the weights are damaged, fetch them again")
