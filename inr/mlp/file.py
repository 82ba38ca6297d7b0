"""What kind mlp puts into the container: its stages, the weights section and, for a split, bands.

The weights section holds the qparams of each trained tensor as the quantizer packs them, then what
the coder makes of the codes of all tensors, in the order of the field set's shapes. The bands
section of a wavelet split holds one number per band and colour channel, group after group: the
coefficient that 1 of the field's signal stands for (2 bytes each, quantize/uniform.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inr.errors import FormatError
from inr.format import container
from inr.format.container import Header
from inr.format.wire import Reader
from inr.mlp.fields.joint import FieldSet
from inr.mlp.fields.protocol import NumpyParams, Shapes, n_weights
from inr.mlp.quantize.protocol import QParams, Quantizer
from inr.mlp.quantize.uniform import Uniform, pack_steps, unpack_steps
from inr.mlp.tags import Stages, read_stages, write_stages
from inr.options import Sections

NUMBER = 0  # of kind mlp, in the header
MAX_WEIGHTS = 1 << 24  # of one file; more than any target would buy, 64 MB as float32

BandPeaks = tuple[tuple[float, ...], ...]  # per group and channel, as `wire_step` rounds them


@dataclass(frozen=True)
class PictureInfo:
    """What the file says of the picture itself."""

    height: int
    width: int
    n_channels: int
    bit_depth: int
    ranges: tuple[tuple[int, int], ...]
    icc_profile: bytes | None
    band_peaks: BandPeaks = ()  # of a split with bands


def write_file(
    info: PictureInfo,
    stages: Stages,
    codes: Mapping[str, np.ndarray],
    qparams: Mapping[str, QParams],
) -> bytes:
    """Return the whole file with the codes of all tensors and the qparams of the trained ones, both
    in the order of the field set's shapes."""
    header = Header(
        info.height,
        info.width,
        info.n_channels,
        info.bit_depth,
        info.ranges,
        write_stages(stages),
        NUMBER,
    )
    payload = stages.coder.encode(list(codes.values()))
    sections = {container.SECTION_WEIGHTS: stages.quantizer.pack(list(qparams.values())) + payload}
    if info.band_peaks:
        peaks = [peak for group in info.band_peaks for peak in group]
        sections[container.SECTION_BANDS] = pack_steps(peaks)
    if info.icc_profile is not None:
        sections[container.SECTION_ICC_PROFILE] = container.pack_icc(info.icc_profile)
    return container.pack(header, sections)


@dataclass(frozen=True)
class MlpContent:
    """A file whose stages are read, and whose weights are not yet."""

    header: Header
    stages: Stages
    sections: Sections

    @property
    def field_set(self) -> FieldSet:
        header = self.header
        return self.stages.field_set(header.height, header.width, header.n_channels)

    @property
    def n_weights(self) -> int:
        return n_weights(self.field_set.shapes())

    def info(self) -> PictureInfo:
        """Return what the file says of the picture; raises FormatError."""
        header = self.header
        return PictureInfo(
            header.height,
            header.width,
            header.n_channels,
            header.bit_depth,
            header.ranges,
            container.icc_profile_of(self.sections),
            self._band_peaks(),
        )

    def _band_peaks(self) -> BandPeaks:
        if not self.stages.split.HAS_BANDS:
            return ()
        reader = Reader(self.sections[container.SECTION_BANDS], "the bands section")
        parts = self.field_set.parts
        peaks = tuple(tuple(unpack_steps(reader, part.n_channels)) for part in parts)
        reader.finish()
        return peaks


def read_content(header: Header, sections: Sections) -> MlpContent:
    """Read the stages of an unpacked file; raises FormatError."""
    content = MlpContent(header, read_stages(header.stages), sections)
    if (container.SECTION_BANDS in sections) != content.stages.split.HAS_BANDS:
        raise FormatError("the section of bands does not go with the split")
    try:
        n_all = content.n_weights
    except ValueError as error:  # a split that does not suit the picture's size
        raise FormatError(str(error)) from error
    if n_all > MAX_WEIGHTS:
        raise FormatError(f"{n_all} weights are above the limit of {MAX_WEIGHTS}")
    return content


@dataclass(frozen=True)
class WeightsSection:
    """The weights section, decoded."""

    codes: dict[str, np.ndarray]  # int32, of all tensors, in file order
    qparams: dict[str, QParams]  # of the trained ones
    n_qparam_bytes: int  # what the qparams take of the section


def read_section(content: MlpContent) -> WeightsSection:
    """Codes and qparams of all tensors; raises FormatError."""
    field_set, stages = content.field_set, content.stages
    reader = Reader(content.sections[container.SECTION_WEIGHTS], "the weights section")
    n_bytes = reader.n_left
    shapes, trained = field_set.shapes(), field_set.trained_shapes()
    qparams = dict(zip(trained, stages.quantizer.unpack(reader, _sizes(trained)), strict=True))
    n_qparam_bytes = n_bytes - reader.n_left
    flat = stages.coder.decode(reader.take(reader.n_left), _sizes(shapes))
    codes = {
        name: tensor.reshape(shape)
        for (name, shape), tensor in zip(shapes.items(), flat, strict=True)
    }
    return WeightsSection(codes, qparams, n_qparam_bytes)


def read_codes(content: MlpContent) -> dict[str, np.ndarray]:
    """Return the integer codes of all tensors, in file order; raises FormatError."""
    return read_section(content).codes


def read_weights(content: MlpContent) -> NumpyParams:
    """Return the weights as f32 tensors by name; raises FormatError."""
    section = read_section(content)
    return dequantize(content.field_set, content.stages.quantizer, section.codes, section.qparams)


def dequantize(
    field_set: FieldSet,
    quantizer: Quantizer,
    codes: Mapping[str, np.ndarray],
    qparams: Mapping[str, QParams],
) -> NumpyParams:
    """Return the weights that a file with these codes has, f32 tensors by name.

    Args:
      codes: int32, of all tensors.
      qparams: of the trained ones.
    Raises:
      FormatError: a code that its qparams do not have.
    """
    fixed = field_set.fixed_steps()
    return {
        name: Uniform().dequantize(tensor, fixed[name])
        if name in fixed
        else quantizer.dequantize(tensor, qparams[name])
        for name, tensor in codes.items()
    }


def _sizes(shapes: Shapes) -> list[int]:
    return [int(np.prod(shape)) for shape in shapes.values()]
