"""Feeds damaged .inr files to the decoder and checks that it keeps its word.

    python scripts/fuzz.py --cases 100000

Half of the cases are damaged as they are: they must raise FormatError, or be untouched and give
the right picture. An eighth get their checksum repaired, and an eighth their lengths too, which
leads past the first checks. A quarter are whole, but claim sizes, stages and payloads of any kind,
just below and far above what is allowed. These must give a picture of the size that their header
claims, or raise FormatError. Nothing else may come out, not even a warning, and no case may take
more than --max-seconds of the processor or --max-bytes of memory, at the limits MAX_PIXELS and
MAX_MACS, half of the repaired and claiming ones at MAX_MACS alone.
"""

import argparse
import dataclasses
import math
import os
import re
import sys
import tempfile
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fuzz_claims import claiming
from tiny_cae import MODELS, weights_of

from inr.cae.alpha import encode_alpha
from inr.cae.codec import CaeCodec
from inr.cae.file import HASH_BYTES, Coded, colours_of, pack_cae
from inr.cae.weight_store import VARIABLE
from inr.cae.weights import write_weights
from inr.codec import decode_picture, describe
from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.format import container
from inr.format.checksum import pixels_crc
from inr.grid.file import write_grid
from inr.grid.fit.init import first_networks
from inr.grid.network_coding import quantized
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import draw
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import Field
from inr.mlp.fields.siren import Siren
from inr.mlp.file import PictureInfo, write_file
from inr.mlp.quantize.uniform import Uniform, wire_step
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages
from inr.options import DecodeOptions

# Of a file's claim; more would measure drawing, not reading.
MAX_PIXELS = 1 << 14
MAX_MACS = 1 << 33  # a third of a second, or one where the machine is slow
N_HEAD = 40  # bytes at the front that decide the most, damaged as often as all the rest
EDGE_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF)


def built_file(
    net: Field,
    coder: Coder,
    *,
    n_channels: int = 3,
    bit_depth: int = 8,
    height: int = 7,
    width: int = 9,
    ranges: tuple[tuple[int, int], ...] | None = None,
    icc_profile: bytes | None = None,
    sparsity: float = 0.0,
    seed: int = 0,
) -> bytes:
    """Writes a file of fresh weights, without any fit. sparsity: share of codes set to 0."""
    fixed = net.fixed_steps()
    rng = np.random.default_rng(seed)
    params = net.init(rng, n_channels)
    q_steps = {
        name: fixed.get(name, wire_step(max(w.std() / 8, 1e-6))) for name, w in params.items()
    }
    codes = {name: Uniform().codes(w, q_steps[name]) for name, w in params.items()}
    codes = {name: c * (rng.random(c.shape) >= sparsity) for name, c in codes.items()}
    trained_steps = {name: q_step for name, q_step in q_steps.items() if name not in fixed}
    ranges = ranges or ((0, 2**bit_depth - 1),) * n_channels
    facts = PictureInfo(height, width, n_channels, bit_depth, ranges, icc_profile)
    return write_file(facts, Stages(Whole(), net, Uniform(), coder), codes, trained_steps)


SMALL_GRID = Structure(n_taps=5, n_features=2, hidden=4)


def built_grid(
    *,
    n_channels: int = 3,
    bit_depth: int = 8,
    height: int = 7,
    width: int = 9,
    structure: Structure = SMALL_GRID,
    icc_profile: bytes | None = None,
    seed: int = 0,
) -> bytes:
    """Writes a file of kind grid, of fresh networks and random latents."""
    pyramid = Pyramid(height, width, n_channels, structure)
    rng = np.random.default_rng(seed)
    params = first_networks(pyramid, np.full(n_channels, 0.5), rng)
    coded = quantized(params, dict.fromkeys(pyramid.groups, 8), pyramid)
    latents = [
        np.rint(rng.laplace(size=(level.height, level.width))).astype(np.int32)
        for level in pyramid.levels
    ]
    drawn = draw(latents, coded.values(pyramid), pyramid, bit_depth)
    return write_grid(pyramid, bit_depth, coded, latents, pixels_crc(drawn), icc_profile)


_CAE_MODELS = ("hyperprior", "factorized", "slimmable")


def built_cae(
    model: str = "hyperprior",
    *,
    n_channels: int = 3,
    height: int = 7,
    width: int = 9,
    icc_profile: bytes | None = None,
    seed: int = 0,
) -> bytes:
    """Writes a file of kind cae, of random weights; `cae_models` lets decoders find them."""
    weights = weights_of(MODELS[model])
    narrowest = weights.model.widths[0] if weights.model.widths else 0
    codec = CaeCodec(weights.at_width(narrowest))
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, n_channels), np.uint8)
    rate = codec.n_rates // 2
    latents = codec.analyse(colours_of(pixels), rate)
    crc = pixels_crc(codec.synthesize(latents, height, width, rate))
    coded = Coded(0, bytes.fromhex(weights.sha256)[:HASH_BYTES], rate, 0, crc)
    alpha = encode_alpha(pixels[..., -1]) if n_channels in (2, 4) else None
    return pack_cae(pixels.shape, coded, codec.write(latents, rate), alpha, icc_profile)


@contextmanager
def cae_models() -> Iterator[None]:
    """Lets decoders find the weights of `built_cae`."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        for model in _CAE_MODELS:
            data = write_weights(weights_of(MODELS[model]))
            (Path(folder) / f"{model}.npz").write_bytes(data)
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before


def built_files() -> list[bytes]:
    """One small file of each sort that the format knows."""
    small = Siren(hidden=6, n_layers=2)
    features = Fourier(hidden=6, n_layers=2, n_frequencies=4)
    return [
        built_file(small, RangeCoder(), ranges=((3, 250), (0, 255), (7, 7))),
        built_file(small, Zstd(), height=1, width=1),
        built_file(features, RangeCoder(), height=40, width=3),
        built_file(features, Zstd(), n_channels=2),
        built_file(small, RangeCoder(), n_channels=1, height=130, width=2),
        built_file(small, RangeCoder(), n_channels=4, icc_profile=bytes(range(200))),
        built_file(small, Zstd(), bit_depth=16, ranges=((9, 40000),) * 3, icc_profile=b"\0" * 300),
        built_file(features, Huffman()),
        *(
            built_file(small, coder, sparsity=0.9)
            for coder in (Huffman(), Zstd(), Deflate(), Lzma())
        ),
        built_grid(),
        built_grid(height=1, width=40, n_channels=2, bit_depth=16),
        built_grid(height=30, width=3, n_channels=4, icc_profile=bytes(range(200))),
        built_grid(n_channels=1, structure=Structure(n_hyper=2, first_level=1, hidden=3)),
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
    with cae_models():
        return _run(cases, seed, max_seconds, max_bytes)


def _run(cases: range, seed: int, max_seconds: float, max_bytes: float) -> Summary:
    files = built_files()
    pictures = {data: decode_picture(data).pixels for data in files}
    summary = Summary()
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in cases:
            data, is_repaired = case(files, seed, number)
            # Where only the work is bounded, not the picture.
            max_pixels = None if is_repaired and number % 16 > 8 else MAX_PIXELS
            view = DecodeOptions(max_pixels=max_pixels, max_macs=MAX_MACS)
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
        describe(data, DecodeOptions(max_pixels=MAX_PIXELS, max_macs=MAX_MACS))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-seconds", type=float, default=2.0, help="of the processor, a case")
    parser.add_argument("--max-bytes", type=float, default=512e6, help="of memory, a case")
    given = parser.parse_args()
    cases = range(given.first, given.first + given.cases)
    summary = run(cases, given.seed, given.max_seconds, given.max_bytes)
    for kind, n in sorted(summary.n_refused.items(), key=lambda item: -item[1]):
        print(f"{n:8}  {kind}...")
    print(f"{summary.n_pictures:8}  gave a picture")
    print(f"slowest: case {summary.slowest_case}, {summary.slowest_seconds:.3f} s")
    print(f"memory: case {summary.peak_case}, {summary.peak_bytes / 1e6:.0f} MB")
    for failure in summary.failures[:20]:
        print("FAILED:", failure[:1000])
    print(f"{len(summary.failures)} of {given.cases} cases failed")
    sys.exit(1 if summary.failures else 0)


if __name__ == "__main__":
    main()
