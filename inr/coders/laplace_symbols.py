"""Residuals of latents as symbols, raw bits and escapes, to the range coder and back.

latent_coder.py states the order in the stream, laplace_tables.py what the symbols mean.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inr.coders.laplace_tables import (
    MEAN_BITS,
    N_FRACTIONS,
    N_NARROW,
    NARROW_HALF,
    WIDE_HALF,
    LaplaceTables,
)
from inr.coders.range_coder import Reader, Writer
from inr.coders.tensor_model import PRECISION_BITS, TOTAL, uniform_table

Ints = NDArray[np.int64]

ESCAPE_BITS = 7  # of each half of an escape: |r| <= 2 * LATENT_LIMIT needs 13
_UNIFORM = uniform_table(1 << ESCAPE_BITS)
_MOST_RAW_BITS = 6
_N_WIDE = 2 * WIDE_HALF + 3
_SIGNS = np.array([0] + [-1, 1] * (WIDE_HALF + 1))  # of symbols, those of both alphabets
_LETTERS = (np.arange(_N_WIDE) + 1) // 2
# By n_raw * _N_WIDE + symbol: the residual nearest to zero, and how many raw bits follow.
_STARTS = np.concatenate([_SIGNS * (((_LETTERS - 1) << n) + 1) for n in range(_MOST_RAW_BITS + 1)])
_HAS_RAW = (_LETTERS > 0) & (_LETTERS <= WIDE_HALF)
_RAW_BITS = np.concatenate([n * _HAS_RAW for n in range(_MOST_RAW_BITS + 1)])


def _raw_rows() -> NDArray[np.float64]:
    """Tables f64[n_raw, 64] of raw bits, each frequency less one."""
    size = 1 << _MOST_RAW_BITS
    rows = np.zeros((_MOST_RAW_BITS + 1, size))
    for n_raw, row in enumerate(rows):
        row[: 1 << n_raw] = (TOTAL - size) >> n_raw
    return rows


_RAW_ROWS = _raw_rows()


class Letters(NamedTuple):
    """What some latents become, i64[n] each; see the head of laplace_tables.py."""

    is_wide: NDArray[np.bool_]
    row: Ints  # of the alphabet's tables
    symbol: Ints
    n_raw: Ints  # 0 where no raw bits follow
    raw: Ints
    is_escape: NDArray[np.bool_]
    rest: Ints  # of an escape


def letters_of(y: NDArray[np.int32], density: Ints, tables: LaplaceTables) -> Letters:
    """Letters of latents y, given what `context.densities` says of them."""
    mean, scale = density
    r = y - (mean >> MEAN_BITS)
    is_wide = scale >= N_NARROW
    row = ((scale - N_NARROW * is_wide) << MEAN_BITS) + (mean & (N_FRACTIONS - 1))
    half = np.where(is_wide, WIDE_HALF, NARROW_HALF)
    n_raw = tables.n_raw_bits[scale]
    place = np.abs(r) - 1  # -1 for zero, which >> keeps at -1: letter 0
    letter = (place >> n_raw) + 1
    is_escape = letter > half
    letter = np.minimum(letter, half + 1)
    symbol = 2 * letter - (r < 0)
    has_raw = (r != 0) & ~is_escape
    raw = place & ((1 << n_raw) - 1)
    return Letters(is_wide, row, symbol, n_raw * has_raw, raw, is_escape, place - (half << n_raw))


def letter_bits(letters: Letters, tables: LaplaceTables) -> float:
    """Bits that letters take, by their frequency tables."""
    bits = float(letters.n_raw.sum() + 2 * ESCAPE_BITS * letters.is_escape.sum())
    for rows, part in ((tables.narrow, ~letters.is_wide), (tables.wide, letters.is_wide)):
        frequency = rows[letters.row[part], letters.symbol[part]] + 1
        bits += PRECISION_BITS * frequency.size - float(np.log2(frequency).sum())
    return bits


def write_part(writer: Writer, letters: Letters, which: Ints, tables: NDArray[np.float64]) -> None:
    """Writes the latents of one front that share an alphabet."""
    symbol = letters.symbol.take(which).astype(np.int32)
    writer.put_rows(symbol, tables.take(letters.row.take(which), axis=0))
    with_raw = which[letters.n_raw.take(which) > 0]
    raw = letters.raw.take(with_raw).astype(np.int32)
    writer.put_rows(raw, _RAW_ROWS.take(letters.n_raw.take(with_raw), axis=0))
    rest = letters.rest.take(which[letters.is_escape.take(which)]).astype(np.int32)
    writer.put(rest >> ESCAPE_BITS, _UNIFORM)
    writer.put(rest & ((1 << ESCAPE_BITS) - 1), _UNIFORM)


def read_front(reader: Reader, mean: Ints, scale: Ints, tables: LaplaceTables) -> Ints:
    """Residuals of one front."""
    row = (scale << MEAN_BITS) + (mean & (N_FRACTIONS - 1))
    is_wide = row >= len(tables.narrow)
    wide = is_wide.nonzero()[0]
    if wide.size == 0:
        return _read_narrow(reader, tables.narrow.take(row, axis=0))
    narrow = (~is_wide).nonzero()[0]
    residual = np.empty(row.size, np.int64)
    residual[narrow] = _read_narrow(reader, tables.narrow.take(row.take(narrow), axis=0))
    wide_rows = tables.wide.take(row.take(wide) - len(tables.narrow), axis=0)
    residual[wide] = _read_wide(reader, wide_rows, tables.n_raw_bits.take(scale.take(wide)))
    return residual


def _read_narrow(reader: Reader, rows: NDArray[np.float64]) -> Ints:
    symbol = reader.take_rows(rows)
    residual: Ints = _STARTS.take(symbol)
    _add_escapes(reader, residual, symbol, 2 * NARROW_HALF)
    return residual


def _read_wide(reader: Reader, rows: NDArray[np.float64], n_raw: Ints) -> Ints:
    symbol = reader.take_rows(rows)
    place = n_raw * _N_WIDE + symbol
    residual: Ints = _STARTS.take(place)
    n_raw_here = _RAW_BITS.take(place)
    which = n_raw_here.nonzero()[0]
    if which.size:
        raw = reader.take_rows(_RAW_ROWS.take(n_raw_here.take(which), axis=0))
        residual[which] += _SIGNS.take(symbol.take(which)) * raw
    _add_escapes(reader, residual, symbol, 2 * WIDE_HALF)
    return residual


def _add_escapes(reader: Reader, residual: Ints, symbol: NDArray[np.int32], last: int) -> None:
    """Adds to residual, in place, what follows symbols beyond the last that is not an escape."""
    which = (symbol > last).nonzero()[0]
    if which.size:
        high = reader.take(which.size, _UNIFORM).astype(np.int64)
        rest = (high << ESCAPE_BITS) + reader.take(which.size, _UNIFORM)
        residual[which] += _SIGNS.take(symbol.take(which)) * rest
