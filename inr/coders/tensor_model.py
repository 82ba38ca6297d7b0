"""Frequency tables for weight codes, from integers alone, so that every machine has the same.

A tensor's codes c are modelled by three small integers, 16 bits together:

    zero_odds    P(c = 0) : P(c != 0) = 2**e, e = u|u|/64 with u = zero_odds - 32
    log2_scale   s = 2**(log2_scale/8 - 1) codes, the distance at which the density halves
    shape        density of |c| in t = |c| / s: 2**-t (Laplace), 2**-(t + t*t)/2 (between),
                 2**-(t*t) (Gauss), 2**-(t**4) (nearly uniform); and whether the tail beyond the
                 largest code is cut off or was clipped onto it

The steps of u are finest around even odds, where a wrong P(0) costs most. Large scales need no
large tables: with k raw bits, symbol h > 0 stands for the codes (h-1) * 2**k + 1 .. h * 2**k,
symbol -h for their negatives, and the place inside is sent as k raw bits. Codes beyond the table
have one escape symbol and follow as two plain bytes.

All arithmetic is on integers; a density is a fixed-point number with _DENSITY_BITS fractional
bits, made from the powers of two of exact/integer_exp2.py.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inr.coders.protocol import CODE_BITS, MAX_CODE
from inr.exact.integer_exp2 import EXPONENT_BITS, POWER_BITS, exp2_negative

PRECISION_BITS = 24  # what constriction's Categorical has
TOTAL = 1 << PRECISION_BITS  # the sum of every table
N_SHAPES, N_SCALES, N_ODDS = 8, 128, 64  # 3 + 7 + 6 bits
MAX_HALF = 256  # largest symbol; bounds a table to 2 * 256 + 2 entries
ESCAPE_SHARE_BITS = 12  # 2**-12 of the non-zero mass is kept for escapes: 0.0004 bit a symbol

_EVEN_ODDS = 32
_SCALE_STEPS = 8  # an octave of scale in eighths: at most 0.001 bit a symbol from the best
_SAMPLES = 8  # points of the density summed per symbol
_POINTS = 2 * _SAMPLES  # positions are whole multiples of 1/16 code
_DENSITY_BITS = 24  # so that mass * 2**24 stays below 2**63
_MAX_T = 32 << EXPONENT_BITS  # beyond it every density is zero, and t**4 would overflow


@dataclass(frozen=True)
class TensorModel:
    """The distribution of one tensor's codes; every combination in range is valid."""

    shape: int  # 0..7: 2 * (Laplace, between, Gauss, nearly uniform) + (1 if clipped)
    log2_scale: int  # 0..127, eighths of an octave, 0 is half a code
    zero_odds: int  # 0..63, 32 is P(0) = 1/2

    def to_u16(self) -> int:
        return self.shape << 13 | self.log2_scale << 6 | self.zero_odds

    @classmethod
    def from_u16(cls, packed: int) -> "TensorModel":
        return cls(packed >> 13, packed >> 6 & 127, packed & 63)


@dataclass(frozen=True)
class Alphabet:
    """How codes become symbols -half..half, raw bits and escapes; see the head of this file."""

    n_raw_bits: int  # 0..7
    half: int  # 1..MAX_HALF
    has_escape: bool

    @property
    def n_symbols(self) -> int:
        return 2 * self.half + 1 + self.has_escape


def choose_alphabet(log2_scale: int) -> Alphabet:
    """Choose raw bits so that a scale is 16 to 32 symbols wide, as far as the range needs it."""
    octave = log2_scale // _SCALE_STEPS - 1  # floor of log2 s
    n_raw_bits = min(max(octave - 4, 0), CODE_BITS - 9)
    needed = ((MAX_CODE - 1) >> n_raw_bits) + 1
    return Alphabet(n_raw_bits, min(needed, MAX_HALF), needed > MAX_HALF)


def uniform_table(size: int) -> NDArray[np.int64]:
    """Return equal frequencies int64[size]; size is a power of two."""
    return np.full(size, TOTAL // size, np.int64)


def frequency_table(model: TensorModel) -> NDArray[np.int64]:
    """Return int64[n_symbols], each >= 1, sum 2**24: symbols -half..half, then the escape."""
    alphabet = choose_alphabet(model.log2_scale)
    masses = symbol_masses(model.shape, model.log2_scale, alphabet)
    return table_from_masses(masses, model.zero_odds, alphabet)


# The same few hundred are asked for over and over while an encoder searches.
@functools.lru_cache(maxsize=N_SHAPES * N_SCALES)
def symbol_masses(shape: int, log2_scale: int, alphabet: Alphabet) -> NDArray[np.int64]:
    """Return int64[half], the unnormalised masses of the symbols 1..half; read-only."""
    kind, is_clipped = shape >> 1, shape & 1
    n_bins = alphabet.half * 2 if is_clipped else alphabet.half  # a tail as long as the table
    # Midpoints of the samples of all bins; the first bin begins at half a code.
    steps = 2 * np.arange(n_bins * _SAMPLES, dtype=np.int64) + 1
    positions = _POINTS // 2 + (steps << alphabet.n_raw_bits)  # in 1/16 codes
    octave, eighths = divmod(log2_scale - _SCALE_STEPS, _SCALE_STEPS)
    inverse_scale = int(exp2_negative(np.array([eighths << EXPONENT_BITS >> 3], np.int64))[0])
    t = positions * inverse_scale >> (
        POWER_BITS + 4 + octave - EXPONENT_BITS
    )  # 4: 16 points a code
    t = np.minimum(t, _MAX_T)
    density = exp2_negative(_exponent(kind, t)) >> (POWER_BITS - _DENSITY_BITS)
    masses: NDArray[np.int64] = density.reshape(n_bins, _SAMPLES).sum(axis=1)  # [n_bins]
    if is_clipped:
        masses[alphabet.half - 1] = masses[alphabet.half - 1 :].sum()
    masses = masses[: alphabet.half]
    masses.flags.writeable = False
    return masses


def table_from_masses(
    masses: NDArray[np.int64], zero_odds: int, alphabet: Alphabet
) -> NDArray[np.int64]:
    """Share 2**24 among zero, the escape and the symbols; what rounding leaves goes to zero."""
    spare = TOTAL - alphabet.n_symbols  # every symbol has 1 already
    u = zero_odds - _EVEN_ODDS
    one = 1 << POWER_BITS
    smaller = int(exp2_negative(np.array([u * u << EXPONENT_BITS >> 6], np.int64))[0])
    zero_share = spare * (one if u >= 0 else smaller) // (one + smaller)
    nonzero_share = spare - zero_share
    escape_share = nonzero_share >> ESCAPE_SHARE_BITS if alphabet.has_escape else 0
    side = 1 + (nonzero_share - escape_share) * masses // (2 * int(masses.sum()))  # [half]
    ends = [1 + escape_share] if alphabet.has_escape else []
    table = np.concatenate([side[::-1], [0], side, np.array(ends, np.int64)])
    table[alphabet.half] = TOTAL - table.sum()
    return table


def nearest_zero_odds(n_zero: int, n_nonzero: int) -> int:
    """Return the zero_odds closest to these counts; an encoder's choice, so floats are fine."""
    e = math.log2((n_zero + 0.5) / (n_nonzero + 0.5))
    u = round(math.copysign(8 * math.sqrt(abs(e)), e))
    return min(max(u + _EVEN_ODDS, 0), N_ODDS - 1)


def _exponent(kind: int, t: NDArray[np.int64]) -> NDArray[np.int64]:
    square = t * t >> EXPONENT_BITS
    if kind == 0:
        return t
    if kind == 1:
        return t + square >> 1
    if kind == 2:
        return square
    return square * square >> EXPONENT_BITS
