"""What kind mlp puts into the container: its stages and the weights section.

The weights section holds the q_step of each trained tensor (2 bytes each, quantize/uniform.py),
then what the coder makes of the codes of all tensors, in the order of the field's shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inr import container
from inr.container import Header, Reader
from inr.errors import FormatError
from inr.fields.protocol import NumpyParams, Shapes, n_weights
from inr.quantize.uniform import pack_steps, unpack_steps
from inr.tags import Stages, read_stages, write_stages

MAX_WEIGHTS = 1 << 24  # of one file; more than any target would buy, 64 MB as float32
_CODE_BITS = 16  # width that the coders must be able to hold


@dataclass(frozen=True)
class PictureFacts:
    """What the file says of the picture itself."""

    height: int
    width: int
    n_channels: int
    bit_depth: int
    ranges: tuple[tuple[int, int], ...]
    icc_profile: bytes | None


def write_file(
    facts: PictureFacts,
    stages: Stages,
    codes: Mapping[str, np.ndarray],
    q_steps: Mapping[str, float],
) -> bytes:
    """The whole file with the given codes and steps, both in the order of the field's shapes."""
    header = Header(
        facts.height,
        facts.width,
        facts.n_channels,
        facts.bit_depth,
        facts.ranges,
        write_stages(stages),
    )
    fixed = stages.field.fixed_steps()
    trained_steps = [q_step for name, q_step in q_steps.items() if name not in fixed]
    payload = stages.coder.encode(list(codes.values()), _CODE_BITS)
    sections = {container.SECTION_WEIGHTS: pack_steps(trained_steps) + payload}
    if facts.icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(facts.icc_profile)
    return container.pack(header, sections)


@dataclass(frozen=True)
class Opened:
    """A file as far as it can be read without drawing it."""

    header: Header
    stages: Stages
    sections: dict[int, bytes]

    @property
    def n_weights(self) -> int:
        return n_weights(self.stages.field.shapes(self.header.n_channels))

    def icc_profile(self) -> bytes | None:
        """The colour profile, unpacked; raises FormatError."""
        payload = self.sections.get(container.SECTION_ICC_PROFILE)
        return None if payload is None else container.unpack_icc(payload)


def open_file(data: bytes) -> Opened:
    """Reads header and stages; raises FormatError."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            f"cannot decode a {type(data).__name__}: expected the bytes of a file, as from "
            "pathlib.Path('photo.inr').read_bytes()"
        )
    data = bytes(data)
    header, sections = container.unpack(data)
    opened = Opened(header, read_stages(header.stages), sections)
    if opened.n_weights > MAX_WEIGHTS:
        raise FormatError(f"{opened.n_weights} weights are above the limit of {MAX_WEIGHTS}")
    return opened


def read_codes(opened: Opened) -> dict[str, np.ndarray]:
    """The integer codes of all tensors, in file order; raises FormatError."""
    coder, reader, n_trained = opened.stages.coder, _weights_reader(opened), len(_trained(opened))
    unpack_steps(reader, n_trained)
    shapes = _shapes(opened)
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    flat = coder.decode(reader.take(reader.n_left), sizes, _CODE_BITS)
    return {
        name: codes.reshape(shape)
        for (name, shape), codes in zip(shapes.items(), flat, strict=True)
    }


def read_weights(opened: Opened) -> NumpyParams:
    """The weights as f32 tensors by name; raises FormatError."""
    trained = _trained(opened)
    q_steps = dict(opened.stages.field.fixed_steps())
    q_steps |= zip(trained, unpack_steps(_weights_reader(opened), len(trained)), strict=True)
    quantizer = opened.stages.quantizer
    return {
        name: quantizer.dequantize(codes, q_steps[name])
        for name, codes in read_codes(opened).items()
    }


def _weights_reader(opened: Opened) -> Reader:
    return Reader(opened.sections[container.SECTION_WEIGHTS], "the weights section")


def _shapes(opened: Opened) -> Shapes:
    return opened.stages.field.shapes(opened.header.n_channels)


def _trained(opened: Opened) -> list[str]:
    fixed = opened.stages.field.fixed_steps()
    return [name for name in _shapes(opened) if name not in fixed]
