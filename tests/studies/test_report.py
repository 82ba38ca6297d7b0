"""report.py: one page that loads nothing, with all that comes from outside escaped."""

import base64
import io
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inr.studies.plot import Curve, Point, draw
from inr.studies.report import Pair, Table, report_html

NASTY = "</script><script>alert('1')</script> & \"two\""


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else None, data))

    def within(self, tag):
        return [text for inside, text in self.texts if inside == tag]

    def attributes(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def picture(*values):
    return np.array(values, np.uint8).reshape(1, -1, 1)


def figure(name="a"):
    return draw([Curve(name, (Point(0.5, 30.0, 0.95, name),))]).svg


def test_an_empty_page_has_title_and_no_figure():
    page = Page(report_html("Nothing yet", [], None, [], []))
    assert page.within("h1") == ["Nothing yet"]
    assert page.within("h2") == page.attributes("svg") == []


def test_a_page_by_hand():
    table = Table("Rates", ("codec", "percent", "n"), (("webp", -12.345678, 3), ("b", None, None)))
    page = Page(report_html("T", ["first", "second"], figure(), [table], []))
    assert page.within("p")[:2] == ["first", "second"]
    assert page.within("h2") == ["Rate and distortion", "Rates"]
    assert page.within("title")[1:] == 2 * ["a\na\n0.5000 bpp\nPSNR 30.00 dB\nMS-SSIM 0.9500"]
    assert page.within("td") == ["webp", "-12.35", "3", "b"]
    numbers = [attrs.get("data-value") for attrs in page.attributes("td")]
    assert numbers == [None, "-12.345678", "3", None, None, None]


def test_nothing_is_loaded():
    text = report_html("T", [], figure(), [], [Pair("p", picture(1), picture(2))])
    page = Page(text)
    references = [attrs.get("xlink:href", attrs.get("href", "#")) for _, attrs in page.tags]
    assert all(reference.startswith("#") for reference in references)
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    policy = page.attributes("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")
    # Names of SVG, no addresses.
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"url\(.", text)) == {"url(#"}
    assert "@import" not in text


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40))
def test_what_comes_from_outside_stays_text(nasty):
    nasty = nasty.replace("\r", " ").replace("\0", " ") + NASTY  # HTML has no such characters
    table = Table(nasty, (nasty,), ((nasty,),))
    pair = Pair(nasty, picture(1), picture(2))
    page = Page(report_html(nasty, [nasty], None, [table], [pair]))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "".join(page.within("h1")) == nasty
    assert "".join(page.within("td")) == nasty
    assert page.attributes("img")[0]["alt"] == f"decoded: {nasty}"


def test_names_of_curves_stay_text():
    page = Page(report_html("T", [], figure(NASTY), [], []))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "".join(page.within("title")).count(NASTY) == 4


def test_infinite_numbers_are_inf_in_tables():
    page = Page(report_html("T", [], None, [Table("t", ("x",), ((math.inf,),))], []))
    assert page.within("td") == ["inf"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.29951, "0.2995"), (31.4159, "31.42"), (12345.6, "12346"), (1e-5, "1e-05"), (7, "7")],
)
def test_digits_of_numbers(value, shown):
    page = Page(report_html("T", [], None, [Table("t", ("x",), ((value,),))], []))
    assert page.within("td") == [shown]


def test_numbers_of_numpy_are_numbers():
    page = Page(report_html("T", [], None, [Table("t", ("x",), ((np.float64(1.5),),))], []))
    assert page.attributes("td")[0]["data-value"] == "1.5"


def test_long_tables_are_folded():
    rows = tuple((i,) for i in range(31))
    assert "<details>" not in report_html("T", [], None, [Table("t", ("x",), rows[:30])], [])
    page = Page(report_html("T", [], None, [Table("t", ("x",), rows)], []))
    assert page.within("summary") == ["31 rows"]


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_pairs_hold_both_pictures_exactly(n_channels):
    rng = np.random.default_rng(0)
    original, decoded = rng.integers(0, 256, (2, 3, 5, n_channels), np.uint8)
    page = Page(report_html("T", [], None, [], [Pair("p", original, decoded)]))
    for attrs, pixels in zip(page.attributes("img"), (decoded, original), strict=True):
        data = base64.b64decode(attrs["src"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(data)) as image:
            shown = np.asarray(image).reshape(3, 5, n_channels)
        np.testing.assert_array_equal(shown, pixels)


@pytest.mark.parametrize(
    ("original", "decoded"),
    [
        (picture(1, 2), picture(1)),
        (picture(1).astype(np.uint16), picture(1).astype(np.uint16)),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)),
        (np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2, 5), np.uint8)),
    ],
)
def test_pairs_that_cannot_be_shown(original, decoded):
    with pytest.raises(ValueError, match=r"pair 'p': original is .* expected two uint8 pictures"):
        Pair("p", original, decoded)


def test_tables_are_rectangles():
    with pytest.raises(ValueError, match="table 't': a row of 1 cells under 2 columns"):
        Table("t", ("a", "b"), ((1,),))


def test_a_table_as_csv():
    table = Table("t", ("a", 'b "c"'), (("x,y", 0.1 + 0.2), (None, math.inf)))
    assert table.to_csv() == 'a,"b ""c"""\n"x,y",0.30000000000000004\n,inf\n'


CHECK_JS = """
const assert = require("assert");
const cell = (text, value) => ({ textContent: text, dataset: value ? { value } : {} });
const sorted = (cells, direction) =>
  [...cells].sort((a, b) => compareCells(a, b, direction)).map((one) => one.textContent);
const cells = [cell("b"), cell("10", "10.0"), cell(""), cell("9", "9"), cell("inf", "inf")];
assert.deepStrictEqual(sorted(cells, 1), ["9", "10", "inf", "b", ""]);
assert.deepStrictEqual(sorted(cells, -1), ["inf", "10", "9", "b", ""]);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_of_the_page_sorts(tmp_path):
    nothing = "const document = { querySelectorAll: () => [] };\n"
    (script,) = Page(report_html("T", [], None, [], [])).within("script")
    (tmp_path / "check.js").write_text(nothing + script + CHECK_JS, encoding="utf-8")
    done = subprocess.run(["node", tmp_path / "check.js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
