"""Residuals of latents as symbols, raw bits and escapes, to the range coder and back.

laplace_tables.py says what a symbol means. For the positive residuals of a wide alphabet with two
raw bits, as they lie on a ruler:

    bin        1         2         ...   31            the escape
    residual   1 2 3 4   5 6 7 8   ...   121 .. 124    125 ...
    raw bits   0 1 2 3   0 1 2 3   ...   0 1 2 3       none: residual - 125 follows as two halves

A piece of latents is written as the symbols of its narrow ones, the escapes of these, then the
symbols of its wide ones, the raw bits of these, the escapes of these. Raw bits share an alphabet of
64 symbols, of which those from 2**n_raw on have frequency 1 and the others equal ones. `rest`, how
far an escape lies behind the last bin, is two halves, each uniform over 128: those of all escapes
with the high bits, then those with the low ones.
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
from inr.coders.range_engine import RangeReader, RangeWriter, read_escapes, write_escapes
from inr.coders.tensor_model import PRECISION_BITS, TOTAL

Ints = NDArray[np.int64]

ESCAPE_HALF_BITS = 7  # of each half of `rest`: |residual| <= 2 * LATENT_LIMIT needs 13
_MOST_RAW_BITS = 6
_N_WIDE = 2 * WIDE_HALF + 3  # symbols of the wide alphabet
_SIGNS = np.array([0] + [-1, 1] * (WIDE_HALF + 1))  # of symbols, those of both alphabets
_BINS = (np.arange(_N_WIDE) + 1) // 2
# By n_raw * _N_WIDE + symbol: the residual nearest to zero, and how many raw bits follow.
_STARTS = np.concatenate([_SIGNS * (((_BINS - 1) << n) + 1) for n in range(_MOST_RAW_BITS + 1)])
_HAS_RAW = (_BINS > 0) & (_BINS <= WIDE_HALF)
_RAW_BITS = np.concatenate([n * _HAS_RAW for n in range(_MOST_RAW_BITS + 1)])


def _raw_rows() -> NDArray[np.float64]:
    """Make tables f64[n_raw, 64] of raw bits, each frequency less one."""
    size = 1 << _MOST_RAW_BITS
    rows = np.zeros((_MOST_RAW_BITS + 1, size))
    for n_raw, row in enumerate(rows):
        row[: 1 << n_raw] = (TOTAL - size) >> n_raw
    return rows


_RAW_ROWS = _raw_rows()


class LatentSymbols(NamedTuple):
    """What n latents become, i64[n] each."""

    is_wide: NDArray[np.bool_]
    row: Ints  # of the alphabet's tables
    symbol: Ints
    n_raw: Ints  # 0 where no raw bits follow
    raw: Ints
    is_escape: NDArray[np.bool_]
    rest: Ints  # of an escape


def to_symbols(y: NDArray[np.int32], density: Ints, tables: LaplaceTables) -> LatentSymbols:
    """Turn latents into symbols.

    Args:
      y: i32[n], |y| <= LATENT_LIMIT.
      density: i64[2, n]: mean index, which is 32 * centre + frac + 16, and scale 0..160.
    """
    mean, scale = density
    r = y - (mean >> MEAN_BITS)
    is_wide = scale >= N_NARROW
    row = ((scale - N_NARROW * is_wide) << MEAN_BITS) + (mean & (N_FRACTIONS - 1))
    half = np.where(is_wide, WIDE_HALF, NARROW_HALF)
    n_raw = tables.n_raw_bits[scale]
    place = np.abs(r) - 1  # -1 for zero, which >> keeps at -1: bin 0
    bin_ = (place >> n_raw) + 1
    is_escape = bin_ > half
    symbol = 2 * np.minimum(bin_, half + 1) - (r < 0)
    has_raw = (r != 0) & ~is_escape
    raw = place & ((1 << n_raw) - 1)
    rest = place - (half << n_raw)
    return LatentSymbols(is_wide, row, symbol, n_raw * has_raw, raw, is_escape, rest)


def bits_of_each(symbols: LatentSymbols, tables: LaplaceTables) -> NDArray[np.float64]:
    """Count the bits that each of n latents takes, by the frequency tables, f64[n]."""
    bits = symbols.n_raw + 2.0 * ESCAPE_HALF_BITS * symbols.is_escape + PRECISION_BITS
    for rows, part in ((tables.narrow, ~symbols.is_wide), (tables.wide, symbols.is_wide)):
        bits[part] -= np.log2(rows[symbols.row[part], symbols.symbol[part]] + 1)
    return bits


def count_bits(symbols: LatentSymbols, tables: LaplaceTables) -> float:
    """Count the bits that all of them take."""
    return float(bits_of_each(symbols, tables).sum())


def write_piece(
    writer: RangeWriter, symbols: LatentSymbols, start: int, stop: int, tables: LaplaceTables
) -> None:
    """Write the latents start..stop - 1 as one piece; the inverse of `read_piece`."""
    is_wide = symbols.is_wide[start:stop]
    _write_part(writer, symbols, start + (~is_wide).nonzero()[0], tables.narrow)
    _write_part(writer, symbols, start + is_wide.nonzero()[0], tables.wide)


def _write_part(
    writer: RangeWriter, symbols: LatentSymbols, which: Ints, rows: NDArray[np.float64]
) -> None:
    """Write the latents of these indices, which share an alphabet."""
    symbol = symbols.symbol.take(which).astype(np.int32)
    writer.put_rows(symbol, rows.take(symbols.row.take(which), axis=0))
    with_raw = which[symbols.n_raw.take(which) > 0]
    raw = symbols.raw.take(with_raw).astype(np.int32)
    writer.put_rows(raw, _RAW_ROWS.take(symbols.n_raw.take(with_raw), axis=0))
    rest = symbols.rest.take(which[symbols.is_escape.take(which)])
    write_escapes(writer, rest.astype(np.int32), ESCAPE_HALF_BITS)


def read_piece(reader: RangeReader, mean: Ints, scale: Ints, tables: LaplaceTables) -> Ints:
    """Read the residuals i64[n] of one piece.

    Args:
      mean, scale: i64[n], as `to_symbols` takes them.

    Raises:
      FormatError: the data does not fit the tables.
    """
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


def _read_narrow(reader: RangeReader, rows: NDArray[np.float64]) -> Ints:
    symbol = reader.take_rows(rows)
    residual: Ints = _STARTS.take(symbol)
    _add_escapes(reader, residual, symbol, 2 * NARROW_HALF)
    return residual


def _read_wide(reader: RangeReader, rows: NDArray[np.float64], n_raw: Ints) -> Ints:
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


def _add_escapes(reader: RangeReader, residual: Ints, symbol: NDArray[np.int32], last: int) -> None:
    """Add to residual, in place, what follows symbols beyond the last that is not an escape."""
    which = (symbol > last).nonzero()[0]
    if which.size:
        rest = read_escapes(reader, which.size, ESCAPE_HALF_BITS)
        residual[which] += _SIGNS.take(symbol.take(which)) * rest
