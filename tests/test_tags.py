"""tags.py: the stages of a file come back, and unknown ones are refused."""

import itertools

import pytest
from methods import CODERS, FIELDS, QUANTIZERS, SPLITS

from inr.coders.plain_zstd import PlainZstd
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.fields.siren import Siren
from inr.quantize.uniform import Uniform
from inr.splits.whole import Whole
from inr.tags import Stages, read_stages, write_stages


@pytest.mark.parametrize("stages", list(itertools.product(SPLITS, FIELDS, QUANTIZERS, CODERS)))
def test_what_the_decoder_needs_comes_back(stages):
    written = Stages(*stages)
    read = read_stages(write_stages(written))
    for name in ("split", "field", "quantizer", "coder"):
        before, after = getattr(written, name), getattr(read, name)
        assert type(after) is type(before)
        for wire_name, _ in type(before).WIRE:
            assert vars(after)[wire_name] == vars(before)[wire_name]


def test_exact_bytes_of_the_default():
    stages = Stages(Whole(), Siren(64, 5, 30.0, 1.5), Uniform(), RangeCoder())
    assert write_stages(stages).hex(" ") == "00 00 40 05 00 00 f0 41 00 00 c0 3f 00 01"
    assert write_stages(Stages(Whole(), Siren(), Uniform(), PlainZstd()))[-1] == 0
    assert write_stages(Stages(Whole(), Siren(), Uniform(), Zstd()))[-1] == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("01 00 40 05 0000f041 0000f041 00 01", "split tag 1 is not known"),
        ("00 02 40 05 0000f041 0000f041 00 01", "field tag 2 is not known"),
        ("00 00 40 05 0000f041 0000f041 01 01", "quantizer tag 1 is not known"),
        ("00 00 40 05 0000f041 0000f041 00 ff", "coder tag 255 is not known"),
        ("00 00 40 05 0000f041 0000f041 00 01 00", "the list of stages has 1 bytes too many"),
        ("00 00 40 05 0000f041 0000f041 00", "the list of stages is cut short"),
        ("", "the list of stages is cut short"),
    ],
)
def test_wrong_bytes(text, message):
    with pytest.raises(FormatError, match=message):
        read_stages(bytes.fromhex(text))
