"""Whole .inr files, for fuzz.py, that claim much: sizes, stages and payloads of any kind.

All lengths and the checksum are right. Sizes are spread evenly over their logarithms, so that there
are as many just below a limit as far above it, and payloads are those that ask for the most of the
fewest bytes: zeros, nothing, a few random bytes, and streams that unpack to megabytes.
"""

import dataclasses
import functools
import zlib

import numpy as np

from inr.cae.file import HASH_BYTES
from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder, write_tensor
from inr.coders.range_engine import new_writer, words_to_bytes
from inr.coders.tensor_model import TensorModel
from inr.coders.zstd import DEFAULT_LEVEL, Zstd, pack_frame
from inr.errors import UsageError
from inr.format import container
from inr.format.container import Header
from inr.grid.structure import MAX_RATE, Pyramid, Structure, write_structure
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.protocol import Field
from inr.mlp.fields.siren import Siren
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.uniform import Uniform, pack_steps, wire_step
from inr.mlp.splits.protocol import Split
from inr.mlp.splits.wavelet import Wavelet, known_wavelets, max_levels
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages, write_stages

_GRID_SIDE = 1 << 14  # of kinds grid and cae, just below and above what is allowed
_FEW_PIXELS = 1 << 15  # about as many as the fuzzer's limit
_CODERS: list[Coder] = [Huffman(), RangeCoder(), Zstd(), Deflate(), Lzma()]
_QUANTIZERS: list[Quantizer] = [Uniform(), Float16(), KMeans()]
_CERTAIN_ZERO = TensorModel(shape=0, log2_scale=0, zero_odds=63)  # a tensor nearly all zeros
_N_STRUCTURES = 14
_PROFILES = (zlib.compress(bytes(1 << 22)), zlib.compress(bytes(1 << 24)), b"\0\1\2")


def claiming(data: bytes, rng: np.random.Generator) -> bytes:
    """A file of the same kind as data that claims other things."""
    header, sections = container.unpack(data)
    kind = {1: _grid, 2: _cae}.get(header.kind, _mlp)
    most = container.MAX_SIDE if header.kind == 0 else _GRID_SIDE + 9
    height, width = _size(most, rng)
    n_channels = int(rng.integers(1, 5))
    bit_depth = 8 if header.kind == 2 else int(rng.choice([8, 16]))
    ranges = ((0, (1 << bit_depth) - 1),) * n_channels
    claimed = Header(height, width, n_channels, bit_depth, ranges, header.stages, header.kind)
    if rng.random() < 0.1:
        sections[container.SECTION_ICC_PROFILE] = _PROFILES[rng.integers(0, len(_PROFILES))]
    return container.pack(*kind(claimed, sections, rng))


def _spread(low: int, high: int, rng: np.random.Generator) -> int:
    """low..high, evenly over the logarithms."""
    return min(high, int(low * ((high + 1) / low) ** rng.random()))


def _size(most: int, rng: np.random.Generator) -> tuple[int, int]:
    """Height and width: any, of few pixels, or of one row or column."""
    match rng.integers(0, 4):
        case 0:
            height, width = _spread(1, most, rng), _spread(1, most, rng)
        case 1:
            height, width = int(rng.integers(1, 3)), _spread(1, most, rng)
        case _:
            height = min(most, _spread(1, _FEW_PIXELS, rng))
            width = min(most, _spread(1, max(1, _FEW_PIXELS // height), rng))
    return (width, height) if rng.random() < 0.5 else (height, width)


def _mlp(
    header: Header, sections: dict[int, bytes], rng: np.random.Generator
) -> tuple[Header, dict[int, bytes]]:
    quantizer, coder = _QUANTIZERS[rng.integers(0, 3)], _CODERS[rng.integers(0, len(_CODERS))]
    deepest = 8 if rng.random() < 0.2 else max_levels(header.height, header.width)
    stages = Stages(_split(deepest, rng), _field(rng), quantizer, coder)
    try:
        field_set = stages.field_set(header.height, header.width, header.n_channels)
        sizes = [int(np.prod(shape)) for shape in field_set.shapes().values()]
        n_trained = len(field_set.trained_shapes())
        n_peaks = sum(part.n_channels for part in field_set.parts)
    except UsageError:  # more levels than the picture can have
        sizes, n_trained, n_peaks = [1] * 9, 9, 12
    qparams = {"Uniform": pack_steps([1.0]), "Float16": b"", "KMeans": b"\0"}
    payload = qparams[type(quantizer).__name__] * n_trained + _zeros(coder, sizes, rng)
    sections = sections | {container.SECTION_WEIGHTS: payload}
    sections.pop(container.SECTION_BANDS, None)
    if stages.split.HAS_BANDS:
        sections[container.SECTION_BANDS] = pack_steps([wire_step(0.5)] * n_peaks)
    return dataclasses.replace(header, stages=write_stages(stages)), sections


def _split(deepest: int, rng: np.random.Generator) -> Split:
    if rng.random() < 0.6:
        return Whole()
    names = known_wavelets()
    name = str(rng.choice(["haar", "dmey", names[rng.integers(0, len(names))]]))
    return Wavelet(
        name, int(rng.integers(1, deepest + 1)), float(rng.choice([1 / 64, 0.5, 63 / 64]))
    )


def _field(rng: np.random.Generator) -> Field:
    hidden, n_layers = _spread(1, 4096, rng), _spread(1, 64, rng)
    other = _spread(1, 4096, rng)
    match rng.integers(0, 3):
        case 0:
            return Siren(hidden, n_layers)
        case 1:
            return Fourier(hidden, n_layers, n_frequencies=other)
        case _:
            return FeathermapSiren(Siren(hidden, n_layers), rank=other)


def _zeros(coder: Coder, sizes: list[int], rng: np.random.Generator) -> bytes:
    """Few bytes: codes of zeros where they can be had, else noise."""
    noise = rng.integers(1, 256, int(rng.integers(0, 30)), np.uint8).tobytes()
    if rng.random() < 0.2:
        return noise
    if isinstance(coder, RangeCoder):
        return _models(len(sizes)) + noise
    # Others say how many codes are not zero: the sizes do not matter.
    return coder.encode([np.zeros(1, np.int32)] * len(sizes))


def _models(n_tensors: int) -> bytes:
    """What a stream of the range coder begins with."""
    return _CERTAIN_ZERO.to_u16().to_bytes(2, "little") * n_tensors


def _grid(
    header: Header, sections: dict[int, bytes], rng: np.random.Generator
) -> tuple[Header, dict[int, bytes]]:
    structure = _structure(int(rng.integers(0, _N_STRUCTURES)))
    crc = rng.integers(0, 256, 4, np.uint8).tobytes()
    header = dataclasses.replace(header, stages=write_structure(structure) + crc)
    pyramid = Pyramid(header.height, header.width, header.n_channels, structure)
    networks = _networks(pyramid)
    return header, sections | {
        container.SECTION_NETWORKS: networks,
        container.SECTION_LATENTS: _latents(rng),
    }


def _structure(number: int) -> Structure:
    """The first two are the largest that there can be, the next two usual ones."""
    match number:
        case 0 | 1:
            return Structure(0, 20, 20, 32, 40, 256, prior=number + 1)
        case 2:
            return Structure(prior=1)
        case 3:
            return Structure(prior=2, rate=20)
    rng = np.random.default_rng(number)
    drawn = Structure(*(_spread(low + 1, high + 1, rng) - 1 for low, high in _LIMITS))
    rate = int(rng.integers(0, MAX_RATE + 1)) if drawn.has_rate else 0
    return dataclasses.replace(drawn, rate=rate)


_LIMITS = [(form.low, form.high) for _, form in Structure.WIRE]


@functools.lru_cache(maxsize=1000)
def _networks(pyramid: Pyramid) -> bytes:
    """The section of networks whose codes are all zero; see inr/grid/network_coding.py."""
    if pyramid.structure.has_rate:
        return bytes(-(-len(pyramid.groups) // 8))  # none is present
    writer = new_writer()
    for shapes in pyramid.groups.values():
        n_codes = sum(int(np.prod(shape)) for shape in shapes.values())
        write_tensor(writer, np.zeros(n_codes, np.int32), _CERTAIN_ZERO)
    n_groups = len(pyramid.groups)
    octaves = b"\x88" * (n_groups // 2) + b"\x08" * (n_groups % 2)
    return octaves + _models(n_groups) + words_to_bytes(writer.finish())


def _cae(
    header: Header, sections: dict[int, bytes], rng: np.random.Generator
) -> tuple[Header, dict[int, bytes]]:
    stages = bytearray(header.stages)
    stages[2 + HASH_BYTES] = _spread(1, 256, rng) - 1  # the rate
    if rng.random() < 0.2:
        stages[3 + HASH_BYTES] = rng.integers(0, 3)  # the width
    sections = sections | {container.SECTION_LATENTS: _latents(rng)}
    sections.pop(container.SECTION_ALPHA, None)
    if header.n_channels in (2, 4):
        n_pixels = header.height * header.width
        sections[container.SECTION_ALPHA] = _alpha(n_pixels if n_pixels <= 1 << 16 else 1 << 26)
    return dataclasses.replace(header, stages=bytes(stages)), sections


@functools.lru_cache(maxsize=100)
def _alpha(n_bytes: int) -> bytes:
    return pack_frame([bytes(n_bytes)], DEFAULT_LEVEL)


def _latents(rng: np.random.Generator) -> bytes:
    return rng.integers(1, 256, int(rng.choice([0, 0, 3, 40])), np.uint8).tobytes()
