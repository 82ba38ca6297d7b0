"""Latents as symbols of a range coder and back, exactly.

factorized   channel after channel, each under its table of density_tables.py:

    symbols   of all latents, rows from the top: value - first, or length for an escape
    escapes   value + 2**13 of these: the high seven bits of all, then the low ones

laplace      rows from the top, the channels of a place side by side, cut into pieces of 2**16
             latents. The density of a latent is given by its mean in 32nds, which is centre +
             frac / 32 with frac in -16..15, and its scale 0..160; coders/laplace_tables.py makes
             tables of these, and coders/laplace_symbols.py writes the pieces.

Each half of an escape is uniform over 128. Who opens a stream closes it: several calls may write to
one, and only behind the last a reader has to be finished.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inr.cae.density_tables import LIMIT, DensityTables
from inr.coders.laplace_symbols import (
    ESCAPE_HALF_BITS,
    LatentSymbols,
    count_bits,
    read_piece,
    to_symbols,
    write_piece,
)
from inr.coders.laplace_tables import (
    MEAN_BITS,
    N_FRACTIONS,
    N_SCALES,
    LaplaceTables,
    laplace_tables,
)
from inr.coders.range_engine import RangeReader, RangeWriter, read_escapes, write_escapes
from inr.coders.tensor_model import PRECISION_BITS
from inr.errors import FormatError

Ints = NDArray[np.int64]
Latents = NDArray[np.int32]

MEAN_LIMIT = LIMIT << MEAN_BITS  # largest |mean|, in 32nds
_PIECE = 1 << 16  # latents whose tables are in memory at once: 34 MB if all are wide
_ESCAPE_ZERO = 1 << 13  # an escaped value is sent as value + 2**13


def encode_factorized(writer: RangeWriter, y: Latents, tables: DensityTables, knot: int) -> None:
    """Write latents under the tables of one knot; the inverse of `read_factorized`.

    Args:
      y: i32[h, w, n] within +-LIMIT.
      tables: of n channels, valid (see `DensityTables.check`).

    Raises:
      ValueError: y are other numbers, or the tables have no such knot or other channels.
    """
    for row, symbol, escaped in _factorized_symbols(y, tables, knot):
        writer.put(symbol, row)
        write_escapes(writer, escaped + np.int32(_ESCAPE_ZERO), ESCAPE_HALF_BITS)


def read_factorized(
    reader: RangeReader, h: int, w: int, n: int, tables: DensityTables, knot: int
) -> Latents:
    """Read i32[h, w, n] within +-LIMIT.

    Raises:
      FormatError: the data cannot be read so.
      ValueError: as for `encode_factorized`.
    """
    _check_tables(n, tables, knot)
    planes = np.empty((n, h * w), np.int32)
    for channel, values in enumerate(planes):
        row = tables.row(knot, channel)
        symbol = reader.take(values.size, row)
        np.add(symbol, np.int32(tables.firsts[knot, channel]), out=values)
        which = (symbol == row.size - 1).nonzero()[0]
        if which.size:
            values[which] = read_escapes(reader, which.size, ESCAPE_HALF_BITS) - _ESCAPE_ZERO
    _check_read(planes)
    return np.ascontiguousarray(planes.T).reshape(h, w, n)


def factorized_bits(y: Latents, tables: DensityTables, knot: int) -> float:
    """Count the bits that `encode_factorized` takes, by its tables; it raises the same."""
    bits = 0.0
    for row, symbol, escaped in _factorized_symbols(y, tables, knot):
        bits += PRECISION_BITS * symbol.size - float(np.log2(row[symbol]).sum())
        bits += 2 * ESCAPE_HALF_BITS * escaped.size
    return bits


def encode_laplace(writer: RangeWriter, y: Latents, mean: Ints, scale: Ints) -> None:
    """Write latents, each under a density of its own; the inverse of `read_laplace`.

    Args:
      y: i32[h, w, n] within +-LIMIT.
      mean: i64[h, w, n] in 32nds, within +-MEAN_LIMIT.
      scale: i64[h, w, n] in 0..160.

    Raises:
      ValueError: they are other numbers.
    """
    tables = laplace_tables()
    for symbols in _laplace_symbols(y, mean, scale, tables):
        write_piece(writer, symbols, 0, symbols.symbol.size, tables)


def read_laplace(reader: RangeReader, mean: Ints, scale: Ints) -> Latents:
    """Read i32 latents of the shape of mean and scale, within +-LIMIT.

    Raises:
      FormatError: the data cannot be read so.
      ValueError: mean or scale are not those of `encode_laplace`.
    """
    _check_densities(mean, scale)
    tables = laplace_tables()
    y = np.empty(mean.shape, np.int32)
    flat = y.reshape(-1)
    for piece in _pieces(y.size):
        index, scales = _mean_index(mean, piece), scale.reshape(-1)[piece]
        values = (index >> MEAN_BITS) + read_piece(reader, index, scales, tables)
        _check_read(values)
        flat[piece] = values
    return y


def laplace_bits(y: Latents, mean: Ints, scale: Ints) -> float:
    """Count the bits that `encode_laplace` takes, by its frequency tables; it raises the same."""
    tables = laplace_tables()
    return sum(count_bits(symbols, tables) for symbols in _laplace_symbols(y, mean, scale, tables))


def _factorized_symbols(
    y: Latents, tables: DensityTables, knot: int
) -> Iterator[tuple[NDArray[np.int64], Latents, Latents]]:
    """Yield, for each channel, its table, its symbols and the values of its escapes."""
    _check_latents(y)
    _check_tables(y.shape[2], tables, knot)
    planes = np.ascontiguousarray(y.reshape(-1, y.shape[2]).T)  # [n, h * w]
    for channel, values in enumerate(planes):
        length = int(tables.lengths[knot, channel])
        symbol = values - np.int32(tables.firsts[knot, channel])
        is_escape = (symbol < 0) | (symbol >= length)
        symbol[is_escape] = length
        yield tables.row(knot, channel), symbol, values[is_escape]


def _laplace_symbols(
    y: Latents, mean: Ints, scale: Ints, tables: LaplaceTables
) -> Iterator[LatentSymbols]:
    """Yield the symbols of each piece."""
    _check_latents(y)
    _check_densities(mean, scale)
    if y.shape != mean.shape:
        raise ValueError(f"latents of shape {y.shape} under densities of shape {mean.shape}")
    for piece in _pieces(y.size):
        density = np.stack([_mean_index(mean, piece), scale.reshape(-1)[piece]])
        yield to_symbols(y.reshape(-1)[piece], density, tables)


def _pieces(n: int) -> list[slice]:
    return [slice(start, start + _PIECE) for start in range(0, n, _PIECE)]


def _mean_index(mean: Ints, piece: slice) -> Ints:
    """Return 32 * centre + frac + 16, as laplace_symbols.py counts."""
    index: Ints = mean.reshape(-1)[piece] + N_FRACTIONS // 2
    return index


def _check_latents(y: Latents) -> None:
    if y.dtype != np.int32 or y.ndim != 3:
        raise ValueError(f"latents are {y.dtype}{list(y.shape)}; expected is int32[h, w, n]")
    _check_range("latents", y, -LIMIT, LIMIT)


def _check_tables(n: int, tables: DensityTables, knot: int) -> None:
    n_knots, n_channels = tables.firsts.shape
    if n != n_channels or not 0 <= knot < n_knots:
        raise ValueError(
            f"n={n} channels under knot={knot}, but the tables are of {n_channels} channels and "
            f"the knots 0..{n_knots - 1}"
        )


def _check_densities(mean: Ints, scale: Ints) -> None:
    if mean.dtype != np.int64 or scale.dtype != np.int64 or mean.shape != scale.shape:
        raise ValueError(
            f"mean is {mean.dtype}{list(mean.shape)} and scale {scale.dtype}{list(scale.shape)}; "
            "expected are two int64[h, w, n]"
        )
    _check_range("mean", mean, -MEAN_LIMIT, MEAN_LIMIT)
    _check_range("scale", scale, 0, N_SCALES - 1)


def _check_range(name: str, values: Latents | Ints, low: int, high: int) -> None:
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(
            f"{name} span {values.min()}..{values.max()}, outside {low}..{high}; clip them first"
        )


def _check_read(values: Latents | Ints) -> None:
    if np.abs(values).max(initial=0) > LIMIT:
        raise FormatError(f"latents: a value lies outside +-{LIMIT}")
