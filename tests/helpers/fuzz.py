"""Damaged .inr files, and whether the decoder keeps its word on them; scripts/fuzz.py runs many.

Half of the cases are damaged as they are: they must raise FormatError, or be untouched and give
the right picture. An eighth get their checksum repaired, and an eighth their lengths too, which
leads past the first checks. A quarter are whole, but claim sizes, stages and payloads of any kind,
just below and far above what is allowed (claims.py). These must give a picture of the size that
their header claims, or raise FormatError. Nothing else may come out, not even a warning, and no
case may take more time or memory than allowed, at the limits MAX_PIXELS and MAX_MACS, half of the
repaired and claiming ones at MAX_MACS alone.
"""

import dataclasses
import math
import re
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np

from helpers.built_files import (
    GRID_WITH_RATE,
    built_cae,
    built_file,
    built_grid,
    cae_models,
    stages_of,
)
from helpers.claims import claiming
from inr.codec import decode_picture, describe
from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.format import container
from inr.grid.structure import Structure
from inr.mlp.fields.fourier import Fourier
from inr.options import DecodeOptions

# Of a file's claim; more would measure drawing, not reading.
MAX_PIXELS = 1 << 14
MAX_MACS = 1 << 33  # a third of a second, or one where the machine is slow
N_HEAD = 40  # bytes at the front that decide the most, damaged as often as all the rest
EDGE_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def built_files() -> list[bytes]:
    """One small file of each sort that the format knows."""
    features = stages_of(field=Fourier(hidden=6, n_layers=2, n_frequencies=4))
    zstd = stages_of(coder=Zstd())
    return [
        built_file(stages_of(), ranges=((3, 250), (0, 255), (7, 7))),
        built_file(zstd, height=1, width=1),
        built_file(features, height=40, width=3),
        built_file(dataclasses.replace(features, coder=Zstd()), n_channels=2),
        built_file(stages_of(), n_channels=1, height=130, width=2),
        built_file(stages_of(), n_channels=4, icc_profile=bytes(range(200))),
        built_file(zstd, bit_depth=16, ranges=((9, 40000),) * 3, icc_profile=b"\0" * 300),
        built_file(dataclasses.replace(features, coder=Huffman())),
        *(
            built_file(stages_of(coder=coder), sparsity=0.9)
            for coder in (Huffman(), Zstd(), Deflate(), Lzma())
        ),
        built_grid(),
        built_grid(height=1, width=40, n_channels=2, bit_depth=16),
        built_grid(height=30, width=3, n_channels=4, icc_profile=bytes(range(200))),
        built_grid(n_channels=1, structure=Structure(n_hyper=2, first_level=1, hidden=3)),
        built_grid(structure=GRID_WITH_RATE),
        built_grid(height=30, width=3, n_channels=4, bit_depth=16, structure=Structure(prior=3)),
        built_cae(icc_profile=bytes(range(200))),
        built_cae("factorized", height=30, width=3, n_channels=4),
        built_cae("slimmable", height=1, width=40, n_channels=1),
    ]


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Applies one to three random changes."""
    for _ in range(rng.integers(1, 4)):
        data = _changed(data, other, rng)
    return data


def _changed(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, (min(N_HEAD, len(data)) if rng.random() < 0.5 else len(data)) + 1))
    n = int(rng.integers(1, 9))
    noise = rng.integers(0, 256, n, np.uint8).tobytes()
    match rng.integers(0, 9):
        case 0:  # one bit
            flipped = bytearray(data)
            if at < len(data):
                flipped[at] ^= 1 << rng.integers(0, 8)
            return bytes(flipped)
        case 1:  # one byte, any value
            return data[:at] + noise[:1] + data[at + 1 :]
        case 2:  # one byte, a value where formats break
            return data[:at] + bytes([rng.choice(EDGE_BYTES)]) + data[at + 1 :]
        case 3:
            return data[:at] + noise + data[at:]
        case 4:
            return data[:at] + data[at + n :]
        case 5:
            return data[:at]
        case 6:  # two neighbouring runs change places
            return data[:at] + data[at + n : at + 2 * n] + data[at : at + n] + data[at + 2 * n :]
        case 7:  # the end of another file at the same place
            return data[:at] + other[at:]
        case _:  # the end of another file from anywhere
            return data[:at] + other[int(rng.integers(0, len(other) + 1)) :]


def repaired(data: bytes) -> bytes:
    """Replaces the last four bytes by the checksum that belongs there."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def reframed(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Damages the stages or one section, all lengths and the checksum being right again."""
    header, sections = container.unpack(data)
    other_header, other_sections = container.unpack(other)
    if rng.random() < 0.3:
        stages = damaged(header.stages, other_header.stages, rng)
        return container.pack(dataclasses.replace(header, stages=stages), sections)
    tag = int(rng.choice(list(sections)))
    sections[tag] = damaged(sections[tag], other_sections.get(tag, b""), rng)
    return container.pack(header, sections)


def case(files: list[bytes], seed: int, number: int) -> tuple[bytes, bool]:
    """The bytes of one case, and whether its checksum is right; the same on every run."""
    rng = np.random.default_rng([seed, number])
    first, second = (files[i] for i in rng.integers(0, len(files), 2))
    if number % 2 == 0:
        return damaged(first, second, rng), False
    if number % 8 == 1:
        return repaired(damaged(first, second, rng)), True
    if number % 8 == 3:
        return reframed(first, second, rng), True
    return claiming(first, rng), True


@dataclasses.dataclass
class Summary:
    """What came out of many cases."""

    n_pictures: int = 0
    n_refused: dict[str, int] = dataclasses.field(
        default_factory=dict
    )  # start of the message: cases
    slowest_seconds: float = 0.0  # of the processor, in all threads
    slowest_case: int = 0
    peak_bytes: int = 0  # of memory, as tracemalloc sees it
    peak_case: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


def run(
    cases: range, seed: int, max_seconds: float = math.inf, max_bytes: float = math.inf
) -> Summary:
    """Tries the cases one by one; failures are collected, not raised.

    Args:
      max_seconds, max_bytes: of one case; more is a failure.
    """
    with cae_models() as models:
        return _run(cases, seed, max_seconds, max_bytes, models)


def _run(cases: range, seed: int, max_seconds: float, max_bytes: float, models: Path) -> Summary:
    files = built_files()
    pictures = {data: decode_picture(data, DecodeOptions(models=models)).pixels for data in files}
    summary = Summary()
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in cases:
            data, is_repaired = case(files, seed, number)
            # Where only the work is bounded, not the picture.
            max_pixels = None if is_repaired and number % 16 > 8 else MAX_PIXELS
            view = DecodeOptions(max_pixels=max_pixels, max_macs=MAX_MACS, models=models)
            tracemalloc.reset_peak()
            before, started_at = tracemalloc.get_traced_memory()[0], time.process_time()
            problem = _problem(data, view, None if is_repaired else pictures, summary)
            seconds = time.process_time() - started_at
            n_bytes = tracemalloc.get_traced_memory()[1] - before
            if seconds > summary.slowest_seconds:
                summary.slowest_seconds, summary.slowest_case = seconds, number
            if n_bytes > summary.peak_bytes:
                summary.peak_bytes, summary.peak_case = n_bytes, number
            if problem is None and seconds > max_seconds:
                problem = f"{seconds:.2f} s, more than {max_seconds}"
            if problem is None and n_bytes > max_bytes:
                problem = f"{n_bytes / 1e6:.0f} MB, more than {max_bytes / 1e6:.0f}"
            if problem is not None:
                summary.failures.append(f"case {number} of seed {seed}: {problem}: {data.hex()}")
    if not was_tracing:
        tracemalloc.stop()
    return summary


def _problem(
    data: bytes, view: DecodeOptions, pictures: dict[bytes, np.ndarray] | None, summary: Summary
) -> str | None:
    """What is wrong with the decoder's answer. pictures: all there may be; None for any."""
    try:
        describe(data, dataclasses.replace(view, max_pixels=MAX_PIXELS))
        pixels = decode_picture(data, view).pixels
    except FormatError as error:
        kind = re.sub(r"-?\d[\d.e+-]*", "#", str(error))[:40]
        summary.n_refused[kind] = summary.n_refused.get(kind, 0) + 1
        return None
    except Exception as error:
        return repr(error)
    summary.n_pictures += 1
    if pictures is not None:
        is_right = data in pictures and np.array_equal(pixels, pictures[data])
        return None if is_right else "a damaged file passed for a whole one"
    header = container.unpack(data)[0]
    shape = (header.height, header.width, header.n_channels)
    if pixels.shape != shape or pixels.dtype.itemsize * 8 != header.bit_depth:
        return f"{pixels.shape} {pixels.dtype} drawn, the header says {header}"
    return None
