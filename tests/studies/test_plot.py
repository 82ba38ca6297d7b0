"""plot.py: one figure in two forms, with every name as it is, on every machine, without a word."""

import io
import math
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inr.errors import CodecError
from inr.studies.plot import Curve, Point, draw

SVG = "{http://www.w3.org/2000/svg}"
POINTS = (Point(0.5, 30.0, None, ""), Point(1.0, 33.0, None, ""))
AWKWARD = (
    *("Ba$$in.png: cae", "$x$", r"\frac{1}{2}^_%#&~", "_hidden", "", "画像.png", "two\nlines"),
    *("caf\udce9.png", "שלום.png", "e\u0301\u0302\u0303.png", "😀.png", "<b>&amp;", "a" * 4000),
)


def drawing(*labels, points=POINTS):
    return draw([Curve(label, points) for label in labels])


def pixels_of(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))


def titles(svg):
    return [title.text for title in ElementTree.fromstring(svg).iter(f"{SVG}title")]


def test_one_figure_in_two_forms():
    points = (Point(0.8, 33.0, 0.97, "quality 50"), Point(0.4, 29.0, 0.9, "20"))
    made = drawing("jpeg", points=points)
    assert pixels_of(made.png).shape[1] == 13 * 120
    root = ElementTree.fromstring(made.svg)
    assert root.get("viewBox").startswith("0 0 936 ")  # points of 1/72 inch
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"jpeg", "PSNR, dB", "MS-SSIM, -10 log10(1 - x), dB"} <= texts
    assert titles(made.svg) == 2 * [  # in both panels, in the order of the rate
        "jpeg\n20\n0.4000 bpp\nPSNR 29.00 dB\nMS-SSIM 0.9000",
        "jpeg\nquality 50\n0.8000 bpp\nPSNR 33.00 dB\nMS-SSIM 0.9700",
    ]
    assert made == drawing("jpeg", points=points)


def test_a_title_stands_over_its_point():
    root = ElementTree.fromstring(drawing("a").svg)
    marks = [use for use in root.iter(f"{SVG}use") if "#1f77b4" in use.get("style", "")][:2]
    circles = list(root.iter(f"{SVG}circle"))
    assert [(c.get("cx"), c.get("cy")) for c in circles] == [
        (mark.get("x"), mark.get("y")) for mark in marks
    ]
    assert all("pointer-events: all" in circle.get("style") for circle in circles)


def test_the_svg_changes_nothing_else_of_a_page():
    root = ElementTree.fromstring(drawing("a").svg)
    assert list(root.iter(f"{SVG}style")) == []
    assert list(root.iter(f"{SVG}metadata")) == []


@settings(max_examples=5, deadline=None)
@given(st.text(max_size=20))
def test_whatever_a_name_is_it_is_text(name):
    made = drawing(name + "<b>&\ufffe")
    (text,) = [t.text for t in ElementTree.fromstring(made.svg).iter(f"{SVG}text")][-1:]
    assert text.endswith("<b>&\ufffd")
    assert len(titles(made.svg)) == 2


def test_of_many_curves_the_first_are_drawn():
    assert len(titles(drawing(*"a" * 30).svg)) == 60
    made = drawing(*"a" * 31)
    assert len(titles(made.svg)) == 60
    assert "the first 30 of 31 curves; the tables have all" in made.svg


def test_awkward_names_are_drawn(capfd):
    assert pixels_of(drawing(*AWKWARD).png).shape[1] > 1000
    assert capfd.readouterr() == ("", "")


def legend_width(label):
    """Columns of the legend, which is the lowest thing in the picture."""
    lowest = pixels_of(drawing(label).png)[-25:]
    columns = np.flatnonzero((lowest < 255).any(axis=0))
    return columns[-1] - columns[0]


@pytest.mark.parametrize(
    "label",
    ["$x$", "$$x", "_x", "__x", "^x", "x^_", "{x}", "%x", "x%", r"\x", r"\\x", "#x", "&x", "~x"],
)
def test_every_sign_of_a_name_is_drawn(label):
    n_signs = len(label) - 1
    assert legend_width(label) >= legend_width("x") + 5 * n_signs  # "1" and "x" have ten pixels


def test_the_legend_holds_every_label():
    """All curves lie on each other: of those below the last one only the legend has the colour."""
    from matplotlib.colors import to_rgb

    with Image.open(io.BytesIO(drawing(*["_hidden"] * 10).png)) as image:
        found = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    colours = {tuple(round(255 * part) for part in to_rgb(f"C{i}")) for i in range(10)}
    assert len(colours) == 10
    assert colours <= found


def test_long_names_leave_room_for_the_curves():
    dark = pixels_of(drawing(*["a" * 4000] * 10).png) < 250
    assert dark[: dark.shape[0] // 3].any(axis=1).mean() > 0.9  # axes, not a heap of letters


def test_a_font_that_has_the_letter_is_found():
    """matplotlib brings STIX along, which has circled letters; its first font has none of them."""
    assert drawing("Ⓐ").png != drawing("Ⓑ").png


def test_points_that_are_not_finite_are_left_out():
    more = (*POINTS, Point(2.0, math.inf, None, ""), Point(math.nan, math.inf, None, ""))
    assert drawing("a", points=more).png == drawing("a").png
    draw([])
    drawing("a", points=())
    lossless = drawing("a", points=(Point(2.0, 40.0, 1.0, ""),))  # MS-SSIM is infinite in dB
    assert titles(lossless.svg) == ["a\n2.0000 bpp\nPSNR 40.00 dB\nMS-SSIM 1.0000"]


def test_without_matplotlib_it_is_an_error_of_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CodecError, match=r"^matplotlib: "):
        drawing("a")


def test_the_callers_settings_are_neither_used_nor_changed():
    import matplotlib

    plain = drawing("a")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        assert drawing("a") == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.slow  # processes that load matplotlib, one of which looks for all fonts
@pytest.mark.parametrize("lies", ["current folder", "MATPLOTLIBRC", "MPLCONFIGDIR", "no text"])
def test_what_a_user_has_set_neither_breaks_nor_speaks(tmp_path, lies):
    text = b"text.usetex: True\nfont.size: banana\nno setting : : \nbackend: none\nfont.family: x\n"
    config = tmp_path / "config"
    config.mkdir()
    folder = config if lies == "MPLCONFIGDIR" else tmp_path
    (folder / "matplotlibrc").write_bytes(b"\xff\xfe\x00" if lies == "no text" else text)
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    if lies == "MPLCONFIGDIR":
        environment["MPLCONFIGDIR"] = str(config)
    elif lies == "MATPLOTLIBRC":
        environment["MATPLOTLIBRC"] = str(tmp_path / "matplotlibrc")
    else:
        environment["MPLCONFIGDIR"] = "/dev/null/nothing can be made here"
    code = (
        "from inr.studies.plot import Curve, Point, draw\n"
        "draw([Curve('画像 $_{', (Point(1.0, 2.0, None, ''),))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=tmp_path if lies in ("current folder", "no text") else "/",
        capture_output=True,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
