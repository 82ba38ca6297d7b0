"""wire.py: exact bytes of numbers and fields, and FormatError for everything else."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from inr.errors import FormatError
from inr.format.wire import (
    FloatField,
    NameField,
    Reader,
    VarintField,
    read_fields,
    varint,
    write_fields,
)


@given(st.integers(0, 2**32 - 1))
def test_varints_come_back(value):
    reader = Reader(varint(value), "the test")
    assert reader.varint() == value
    assert reader.n_left == 0


@pytest.mark.parametrize(
    ("value", "text"), [(0, "00"), (127, "7f"), (128, "8001"), (2**32 - 1, "ffffffff0f")]
)
def test_exact_varints(value, text):
    assert varint(value).hex() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the test is cut short at byte 0: 1 bytes expected, 0 left"),
        ("80", "the test is cut short at byte 1"),
        ("8100 01", "varint that is too long"),
        ("808080808000 01", "varint of more than 5 bytes"),
        ("ffffffff1f 01", "varint that is too long"),
    ],
)
def test_varints_that_are_wrong(text, message):
    with pytest.raises(FormatError, match=message):
        Reader(bytes.fromhex(text), "the test").varint()


def test_reader_reports_surplus_bytes():
    reader = Reader(b"ab", "the list of stages")
    reader.u8()
    with pytest.raises(FormatError, match="the list of stages has 1 bytes too many"):
        reader.finish()


class Example:
    WIRE = (("count", VarintField(1, 300)), ("scale", FloatField(0.5, 2.0)))

    def __init__(self, count, scale):
        self.count, self.scale = count, scale


def test_exact_bytes_of_a_stage():
    data = write_fields(Example(300, 1.5))
    assert data.hex() == "ac02" + "0000c03f"
    made = read_fields(Example, Example.WIRE, Reader(data, "the test"))
    assert (made.count, made.scale) == (300, 1.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00 0000803f", r"count=0 is outside 1\.\.300"),
        ("ad02 0000803f", r"count=301 is outside 1\.\.300"),
        ("01 00000040ff", None),
        ("01 00004040", r"scale=3.0 is outside 0.5\.\.2.0"),
        ("01 0000c07f", "scale=nan is outside"),
        ("01 0000807f", "scale=inf is outside"),
        ("01 000080", "cut short"),
    ],
)
def test_values_of_a_stage(text, message):
    reader = Reader(bytes.fromhex(text), "the test")
    if message is None:  # the edge itself is allowed
        assert read_fields(Example, Example.WIRE, reader).scale == 2.0
        return
    with pytest.raises(FormatError, match=message):
        read_fields(Example, Example.WIRE, reader)


@pytest.mark.parametrize("values", [(0, 1.0), (301, 1.0), (1, 3.0), (1, float("nan"))])
def test_a_stage_that_could_not_be_read_is_not_written(values):
    with pytest.raises(ValueError, match="is outside"):
        write_fields(Example(*values))


class Named:
    WIRE = (("name", NameField(4, lambda: ["haar", "db3", "longer"])),)

    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize(("name", "text"), [("haar", "04 68616172"), ("db3", "03 646233")])
def test_exact_bytes_of_a_name(name, text):
    data = bytes.fromhex(text)
    assert write_fields(Named(name)) == data
    assert read_fields(Named, Named.WIRE, Reader(data, "the test")).name == name


@pytest.mark.parametrize("name", ["db4", "", "HAAR", "h\u00e4\u00e4r", "longer"])
def test_names_that_are_not_written(name):
    message = f"name='{name}' is none of the 2 known, such as (haar|db3), (haar|db3)$"
    with pytest.raises(ValueError, match=message):
        write_fields(Named(name))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00", "name='' is not known; the file needs a newer version"),
        ("03 646234", "name='db4' is not known"),
        ("02 64ff", r"name='d\\\\xff' is not known"),
        ("06 6c6f6e676572", "name has 6 characters, more than the 4 allowed"),
        ("ffffffff0f", "name has 4294967295 characters"),
        ("04 686161", "cut short"),
    ],
)
def test_names_that_are_not_read(text, message):
    with pytest.raises(FormatError, match=message):
        read_fields(Named, Named.WIRE, Reader(bytes.fromhex(text), "the test"))
