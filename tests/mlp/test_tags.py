"""tags.py: the stages of a file come back, and unknown ones are refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from contracts.methods import CODERS, FIELDS, QUANTIZERS, SPLITS

from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.siren import Siren
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole
from inr.mlp.tags import Stages, read_stages, write_stages


def test_what_the_decoder_needs_comes_back():
    for stages in itertools.product(SPLITS, FIELDS, QUANTIZERS, CODERS):
        written = Stages(*stages)
        read = read_stages(write_stages(written))
        for name in ("split", "field", "quantizer", "coder"):
            before, after = getattr(written, name), getattr(read, name)
            assert type(after) is type(before)
            for wire_name, _ in type(before).WIRE:
                value = vars(before)[wire_name]
                if isinstance(value, float):
                    value = float(np.float32(value))  # as the file holds it
                assert vars(after)[wire_name] == value


def test_exact_bytes_of_the_default():
    stages = Stages(Whole(), Siren(64, 5, 30.0, 1.5), Uniform(), RangeCoder())
    assert write_stages(stages).hex(" ") == "00 00 40 05 00 00 f0 41 00 00 c0 3f 00 01"
    assert write_stages(Stages(Whole(), Siren(64), Uniform(), Zstd()))[-1] == 5


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"split": Wavelet(levels=3)}, "01 03 64 62 33 03 cd cc 4c 3f 00"),  # db3, 0.8
        ({"field": FeathermapSiren(Siren(64, 5, 30.0, 1.5), rank=7)}, "00 02 40 05"),
        ({"quantizer": KMeans()}, "01 05"),
        ({"quantizer": Distribution()}, "02 05"),
        ({"quantizer": Float16()}, "03 05"),
        ({"coder": RangeCoder()}, "00 01"),
        ({"coder": Deflate()}, "00 02"),
        ({"coder": Lzma()}, "00 03"),
        ({"coder": Huffman()}, "00 04"),
    ],
)
def test_a_tag_is_for_ever(change, text):
    stages = Stages(Whole(), Siren(64, 5, 30.0, 1.5), Uniform(), Zstd())
    written = write_stages(replace(stages, **change)).hex(" ")
    assert written.startswith(text) or written.endswith(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("63 00 40 05 0000f041 0000f041 00 01", "split tag 99 is not known"),
        ("00 63 40 05 0000f041 0000f041 00 01", "field tag 99 is not known"),
        ("00 00 40 05 0000f041 0000f041 63 01", "quantizer tag 99 is not known"),
        ("00 00 40 05 0000f041 0000f041 00 ff", "coder tag 255 is not known"),
        ("00 00 40 05 0000f041 0000f041 00 01 00", "the list of stages has 1 bytes too many"),
        ("00 00 40 05 0000f041 0000f041 00", "the list of stages is cut short"),
        ("", "the list of stages is cut short"),
        (
            "01 03 64623f 01 cdcc4c3f 00 40 05 0000f041 0000f041 00 01",
            r"wavelet='db\?' is not known",
        ),
        (
            "01 03 646233 09 cdcc4c3f 00 40 05 0000f041 0000f041 00 01",
            r"levels=9 is outside 1\.\.8",
        ),
        ("01 03 646233 01 00000000 00 40 05 0000f041 0000f041 00 01", "low_share=0.0 is outside"),
    ],
)
def test_wrong_bytes(text, message):
    with pytest.raises(FormatError, match=message):
        read_stages(bytes.fromhex(text))
