"""Which number in a file means which class. A number is never used again for another class."""

from dataclasses import dataclass
from typing import TypeVar

from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.format.wire import Reader, Stage, read_fields, write_fields
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.joint import FieldSet, field_set_of
from inr.mlp.fields.protocol import Field
from inr.mlp.fields.siren import Siren
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.splits.protocol import Split
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole

SPLITS: dict[int, type[Split]] = {0: Whole, 1: Wavelet}
FIELDS: dict[int, type[Field]] = {0: Siren, 1: Fourier, 2: FeathermapSiren}
QUANTIZERS: dict[int, type[Quantizer]] = {0: Uniform, 1: KMeans, 2: Distribution, 3: Float16}
CODERS: dict[int, type[Coder]] = {
    1: RangeCoder,
    2: Deflate,
    3: Lzma,
    4: Huffman,
    5: Zstd,
}

S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class Stages:
    """All that the decoder of kind mlp has to know besides picture size and weights."""

    split: Split
    field: Field
    quantizer: Quantizer
    coder: Coder

    def field_set(self, height: int, width: int, n_channels: int) -> FieldSet:
        """Return the fields for a picture of that size."""
        return field_set_of(self.split, self.field, height, width, n_channels)


def write_stages(stages: Stages) -> bytes:
    """Write the `stages` bytes of the header, as container.py lays them out."""
    return (
        _write(SPLITS, stages.split)
        + _write(FIELDS, stages.field)
        + _write(QUANTIZERS, stages.quantizer)
        + _write(CODERS, stages.coder)
    )


def read_stages(data: bytes) -> Stages:
    """Return the inverse of `write_stages`; raises FormatError for tags or values not known."""
    reader = Reader(data, "the list of stages")
    stages = Stages(
        _read(SPLITS, reader, "split"),
        _read(FIELDS, reader, "field"),
        _read(QUANTIZERS, reader, "quantizer"),
        _read(CODERS, reader, "coder"),
    )
    reader.finish()
    return stages


def _write(classes: dict[int, type[S]], stage: S) -> bytes:
    tag = next(tag for tag, cls in classes.items() if type(stage) is cls)
    return bytes([tag]) + write_fields(stage)


def _read(classes: dict[int, type[S]], reader: Reader, what: str) -> S:
    tag = reader.u8()
    if tag not in classes:
        raise FormatError(f"{what} tag {tag} is not known; the file needs a newer version")
    cls = classes[tag]
    return read_fields(cls, cls.WIRE, reader)
