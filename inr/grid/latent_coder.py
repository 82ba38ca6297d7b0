"""All latents of a picture in one range-coder stream, each under its own Laplace density.

    the whole   words of the range coder, "<u4", trailing zero bytes left out

The levels follow one another in the order of pyramid.levels, the fronts of a level by rising
x + FRONT_SLOPE * y, the latents of a front top to bottom. context_model.py says which mean and
scale each latent has, coders/laplace_tables.py how they make a frequency table and a residual a
symbol. Each front is a piece of coders/laplace_symbols.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inr.coders.laplace_symbols import (
    LatentSymbols,
    count_bits,
    read_piece,
    to_symbols,
    write_piece,
)
from inr.coders.laplace_tables import LATENT_LIMIT, MEAN_BITS, LaplaceTables, laplace_tables
from inr.coders.range_engine import (
    RangeReader,
    new_reader,
    new_writer,
    words_from_bytes,
    words_to_bytes,
)
from inr.errors import FormatError
from inr.exact.threads import one_blas_thread
from inr.grid.context_model import (
    Features,
    Network,
    Workspace,
    check_exact,
    densities,
    exact_networks,
    features_of,
)
from inr.grid.structure import REACH, TAPS, Level, Pyramid
from inr.grid.wavefront import Band, SkewedBand, bands

Latents = Sequence[NDArray[np.int32]]  # i32[h, w] of each level
Params = Mapping[str, NDArray[np.floating]]


def encode_latents(latents: Latents, params: Params, pyramid: Pyramid) -> bytes:
    """Code all latents; the inverse of `decode_latents`.

    Args:
      latents: i32[h, w] of each level, |y| <= LATENT_LIMIT.
      params: as for `context_model.exact_networks`.

    Raises:
      ValueError: latents or params are not those of the pyramid, or too large.
      FormatError: the sums of this network are too large to be exact.
    """
    tables = laplace_tables()
    writer = new_writer()
    with one_blas_thread():  # as in `decode_latents`, and the caller's threads may be busy
        for band, symbols in _all_symbols(latents, params, pyramid, tables):
            for start, stop in pairwise(band.starts):
                if start < stop:
                    write_piece(writer, symbols, start, stop, tables)
    return words_to_bytes(writer.finish())


def latent_bits(latents: Latents, params: Params, pyramid: Pyramid) -> float:
    """Count the bits that `encode_latents` takes, by its frequency tables; it raises the same."""
    return sum(level_bits(latents, params, pyramid))


def level_bits(latents: Latents, params: Params, pyramid: Pyramid) -> list[float]:
    """Count `latent_bits`, level by level."""
    tables = laplace_tables()
    all_bits = [0.0] * len(pyramid.levels)
    ends = np.cumsum([level.size for level in pyramid.levels])
    n_before = 0
    with one_blas_thread():
        for band, symbols in _all_symbols(latents, params, pyramid, tables):
            level = int(np.searchsorted(ends, n_before, side="right"))
            all_bits[level] += count_bits(symbols, tables)
            n_before += band.size
    return all_bits


def decode_latents(data: bytes, params: Params, pyramid: Pyramid) -> list[NDArray[np.int32]]:
    """Read i32[h, w] of each level, |y| <= LATENT_LIMIT.

    Raises:
      FormatError: `data` is not what `encode_latents` makes with these params, or the sums of this
        network are too large to be exact.
      ValueError: params are not those of the pyramid.
    """
    check_exact(params, pyramid)
    networks = exact_networks(params, pyramid)
    tables = laplace_tables()
    reader = new_reader(words_from_bytes(data))
    latents: list[NDArray[np.int32]] = []
    with one_blas_thread():  # the products of a front are too small for more
        for i, level in enumerate(pyramid.levels):
            features = features_of(networks[i], pyramid, i, latents)
            latents.append(_read_level(reader, networks[i], tables, features, level, pyramid))
    if not reader.is_finished():
        raise FormatError("latents: the data does not end with its last symbol")
    return latents


def densities_of_level(
    index: int, latents: Latents, params: Params, pyramid: Pyramid
) -> NDArray[np.int64]:
    """Return the density under which each latent of a level is coded, i64[2, h, w]: see
    `context_model.densities`; it raises as `encode_latents` does."""
    level = pyramid.levels[index]
    found = np.empty((2, level.height, level.width), np.int64)
    _check_latents(latents, pyramid)
    check_exact(params, pyramid)
    with one_blas_thread():
        network = exact_networks(params, pyramid)[index]
        for band, density in _densities(index, latents, network, pyramid):
            found[:, band.y, band.x] = density
    return found


def _all_symbols(
    latents: Latents, params: Params, pyramid: Pyramid, tables: LaplaceTables
) -> Iterator[tuple[Band, LatentSymbols]]:
    """Yield all symbols in the order of coding, band by band; for use within `one_blas_thread`."""
    _check_latents(latents, pyramid)
    check_exact(params, pyramid)
    for i, network in enumerate(exact_networks(params, pyramid)):
        for band, density in _densities(i, latents, network, pyramid):
            yield band, to_symbols(latents[i][band.y, band.x], density, tables)


def _densities(
    index: int, latents: Latents, network: Network, pyramid: Pyramid
) -> Iterator[tuple[Band, NDArray[np.int64]]]:
    """Yield i64[2, latents of the band], band by band of a level."""
    n_taps = pyramid.structure.n_taps
    features = features_of(network, pyramid, index, latents)
    padded = np.pad(latents[index], ((REACH, 0), (REACH, REACH))).astype(np.float64)
    stride = padded.shape[1]
    padded = padded.reshape(-1)
    offsets = [(REACH + dy) * stride + REACH + dx for dy, dx in TAPS[:n_taps]]
    for band in bands(pyramid.levels[index]):
        places = band.y * stride + band.x
        work = Workspace.for_latents(band.size, network)
        for row, offset in zip(work.x[:n_taps], offsets, strict=True):
            padded[offset:].take(places, out=row, mode="clip")
        work.x[:n_taps] *= network.tap_unit
        work.x[n_taps:] = features.at(band.y, band.x)
        yield band, densities(network, work)


def _check_latents(latents: Latents, pyramid: Pyramid) -> None:
    given = [each.shape for each in latents]
    wanted = [(level.height, level.width) for level in pyramid.levels]
    if given != wanted:
        raise ValueError(f"latents of shapes {given}, but the pyramid's levels are {wanted}")
    for i, each in enumerate(latents):
        if each.dtype != np.int32 or each.min() < -LATENT_LIMIT or each.max() > LATENT_LIMIT:
            raise ValueError(
                f"latents[{i}] of dtype {each.dtype} span {each.min()}..{each.max()}; expected are "
                f"int32 in +-{LATENT_LIMIT}"
            )


def _read_level(
    reader: RangeReader,
    network: Network,
    tables: LaplaceTables,
    features: Features,
    level: Level,
    pyramid: Pyramid,
) -> NDArray[np.int32]:
    n_taps = pyramid.structure.n_taps
    latents = np.empty(level.size, np.int32)
    skewed = SkewedBand(level, n_taps)
    work, places = Workspace.for_latents(0, network), skewed.tap_places(0)
    for band in bands(level):
        known = features.at(band.y, band.x)
        values = np.empty(band.size, np.int64)
        for front, top in enumerate(band.top):
            start, stop = band.starts[front], band.starts[front + 1]
            n = stop - start
            if n == 0:
                continue
            if n != places.shape[1]:  # neighbouring fronts mostly have the same length
                work = Workspace.for_latents(n, network)
                places = skewed.tap_places(n)
            skewed.taps(front, top, places, out=work.x[:n_taps])
            work.x[n_taps:] = known[:, start:stop]
            mean, scale = densities(network, work)
            residual = read_piece(reader, mean, scale, tables)
            y = np.add(mean >> MEAN_BITS, residual, out=values[start:stop])
            np.multiply(y, network.tap_unit, out=skewed.row(front, top, n))
        if np.abs(values).max(initial=0) > LATENT_LIMIT:
            raise FormatError(f"latents: a value lies outside +-{LATENT_LIMIT}")
        latents[band.y * level.width + band.x] = values
        skewed.next_band()
    return latents.reshape(level.height, level.width)
