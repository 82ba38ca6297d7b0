"""report.py: one page that loads nothing, with all that comes from outside escaped."""

import base64
import io
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inr.studies.report import Curve, Pair, Point, Table, report_html

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

    @property
    def curves(self):
        return json.loads(self.within("script")[0])


def point(bpp=0.5, psnr_db=30.0, ms_ssim=0.95, label=""):
    return Point(bpp, psnr_db, ms_ssim, label)


def picture(*values):
    return np.array(values, np.uint8).reshape(1, -1, 1)


def test_an_empty_page_has_title_and_no_chart():
    page = Page(report_html("Nothing yet", [], [], [], []))
    assert page.within("h1") == ["Nothing yet"]
    assert page.curves == []
    assert all(attrs.get("id") != "chart" for attrs in page.attributes("div"))
    assert page.within("h2") == []


def test_a_page_by_hand():
    curve = Curve("jpeg", (point(0.8, 33.0, 0.97, "quality 50"), point(0.4, 29.0, None, "20")))
    table = Table("Rates", ("codec", "percent", "n"), (("webp", -12.345678, 3), ("b", None, None)))
    page = Page(report_html("T", ["first", "second"], [curve], [table], []))
    assert page.within("p")[:2] == ["first", "second"]
    assert page.curves == [
        {
            "name": "jpeg",
            "points": [  # in the order of the rate
                {"bpp": 0.4, "psnr_db": 29.0, "ms_ssim": None, "label": "20"},
                {"bpp": 0.8, "psnr_db": 33.0, "ms_ssim": 0.97, "label": "quality 50"},
            ],
        }
    ]
    assert page.within("td") == ["webp", "-12.35", "3", "b"]
    numbers = [attrs.get("data-value") for attrs in page.attributes("td")]
    assert numbers == [None, "-12.345678", "3", None, None, None]


def test_nothing_is_loaded():
    text = report_html("T", [], [Curve("a", (point(),))], [], [Pair("p", picture(1), picture(2))])
    page = Page(text)
    assert not any("href" in attrs for _, attrs in page.tags)
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    policy = page.attributes("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG, not an address
    assert "url(" not in text
    assert "@import" not in text


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40))
def test_what_comes_from_outside_stays_text(nasty):
    nasty = nasty.replace("\r", " ").replace("\0", " ") + NASTY  # HTML has no such characters
    curve = Curve(nasty, (point(label=nasty),))
    table = Table(nasty, (nasty,), ((nasty,),))
    pair = Pair(nasty, picture(1), picture(2))
    page = Page(report_html(nasty, [nasty], [curve], [table], [pair]))
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "".join(page.within("h1")) == nasty
    assert page.curves[0]["name"] == page.curves[0]["points"][0]["label"] == nasty
    assert "".join(page.within("td")) == nasty
    assert page.attributes("img")[0]["alt"] == f"decoded: {nasty}"


def test_infinite_psnr_is_null_in_the_chart_and_inf_in_tables():
    curve = Curve("a", (point(psnr_db=math.inf),))
    page = Page(report_html("T", [], [curve], [Table("t", ("x",), ((math.inf,),))], []))
    assert page.curves[0]["points"][0]["psnr_db"] is None
    assert page.within("td") == ["inf"]


def test_curves_without_points_are_left_out():
    page = Page(report_html("T", [], [Curve("none", ()), Curve("one", (point(),))], [], []))
    assert [curve["name"] for curve in page.curves] == ["one"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.29951, "0.2995"), (31.4159, "31.42"), (12345.6, "12346"), (1e-5, "1e-05"), (7, "7")],
)
def test_digits_of_numbers(value, shown):
    page = Page(report_html("T", [], [], [Table("t", ("x",), ((value,),))], []))
    assert page.within("td") == [shown]


def test_numbers_of_numpy_are_numbers():
    page = Page(report_html("T", [], [], [Table("t", ("x",), ((np.float64(1.5),),))], []))
    assert page.attributes("td")[0]["data-value"] == "1.5"


def test_long_tables_are_folded():
    rows = tuple((i,) for i in range(31))
    assert "<details>" not in report_html("T", [], [], [Table("t", ("x",), rows[:30])], [])
    page = Page(report_html("T", [], [], [Table("t", ("x",), rows)], []))
    assert page.within("summary") == ["31 rows"]


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_pairs_hold_both_pictures_exactly(n_channels):
    rng = np.random.default_rng(0)
    original, decoded = rng.integers(0, 256, (2, 3, 5, n_channels), np.uint8)
    page = Page(report_html("T", [], [], [], [Pair("p", original, decoded)]))
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


# ---------------------------------------------------------------- report.js, where there is node

CHECK_JS = """
const assert = require("assert");
const cell = (text, value) => ({ textContent: text, dataset: value ? { value } : {} });
const sorted = (cells, direction) =>
  [...cells].sort((a, b) => compareCells(a, b, direction)).map((one) => one.textContent);
const cells = [cell("b"), cell("10", "10.0"), cell(""), cell("9", "9"), cell("inf", "inf")];
assert.deepStrictEqual(sorted(cells, 1), ["9", "10", "inf", "b", ""]);
assert.deepStrictEqual(sorted(cells, -1), ["inf", "10", "9", "b", ""]);
const labels = ({ values, digits }) => values.map((value) => value.toFixed(digits));
assert.deepStrictEqual(labels(ticks(-0.1, 1, 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
assert.deepStrictEqual(labels(ticks(23, 41, 4)), ["25", "30", "35", "40"]);
assert.deepStrictEqual(labels(ticks(0.061, 0.089, 3)), ["0.07", "0.08"]);
assert.deepStrictEqual(extent([2, 4], 0.5), [1, 5]);
assert.strictEqual(decibels(null), null);
assert.strictEqual(decibels(1), null);
assert.ok(Math.abs(decibels(0.99) - 20) < 1e-9);
assert.strictEqual(describe({ name: "a" }, { label: "", bpp: 0.5, psnr_db: 30, ms_ssim: null }),
  "a\\n0.5000 bpp\\nPSNR 30.00 dB");
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_of_the_page(tmp_path):
    page = "const document = { getElementById: () => null, querySelectorAll: () => [] };\n"
    script = resources.files("inr").joinpath("report.js").read_text(encoding="utf-8")
    (tmp_path / "check.js").write_text(page + script + CHECK_JS, encoding="utf-8")
    done = subprocess.run(["node", tmp_path / "check.js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
