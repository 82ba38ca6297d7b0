"""curve_plot.py: every name as it is, on every machine, without a word."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from inr.errors import CodecError
from inr.studies.plot import Panel, Series, png_of

POINTS = ((0.5, 30.0), (1.0, 33.0))
AWKWARD = (
    *("Ba$$in.png: cae", "$x$", r"\frac{1}{2}^_%#&~", "_hidden", "", "画像.png", "two\nlines"),
    *("caf\udce9.png", "שלום.png", "e\u0301\u0302\u0303.png", "😀.png", "<b>&amp;", "a" * 4000),
)


def drawn(*labels, title="", n_panels=1):
    panel = Panel("x", "y", tuple(Series(label, POINTS) for label in labels))
    with Image.open(io.BytesIO(png_of([panel] * n_panels, title=title))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))


def test_awkward_names_are_drawn(capfd):
    pixels = drawn(*AWKWARD, title="$_{", n_panels=2)
    assert pixels.shape[1] > 1000
    assert capfd.readouterr() == ("", "")


def legend_width(label):
    """Columns of the legend, which is the lowest thing in the picture."""
    lowest = drawn(label)[-25:]
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

    panel = Panel("x", "y", tuple(Series("_hidden", POINTS) for _ in range(10)))
    with Image.open(io.BytesIO(png_of([panel]))) as image:
        found = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    colours = {tuple(round(255 * part) for part in to_rgb(f"C{i}")) for i in range(10)}
    assert len(colours) == 10
    assert colours <= found


def test_long_names_leave_room_for_the_curves():
    dark = drawn(*["a" * 4000] * 10) < 250
    assert dark[: dark.shape[0] // 3].any(axis=1).mean() > 0.9  # axes, not a heap of letters


def test_a_font_that_has_the_letter_is_found():
    """matplotlib brings STIX along, which has circled letters; its first font has none of them."""
    assert (drawn("Ⓐ") != drawn("Ⓑ")).any()


def test_points_that_are_not_finite_are_left_out():
    panel = Panel("x", "y", (Series("a", (*POINTS, (2.0, float("inf")), (float("nan"), 1.0))),))
    assert png_of([panel]) == png_of([Panel("x", "y", (Series("a", POINTS),))])
    png_of([Panel("x", "y", ())])
    png_of([Panel("x", "y", (Series("a", ()),))])


def test_without_matplotlib_it_is_an_error_of_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(CodecError, match=r"^matplotlib: "):
        drawn("a")


def test_the_callers_settings_are_neither_used_nor_changed():
    import matplotlib

    plain = drawn("a")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        np.testing.assert_array_equal(drawn("a"), plain)
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
        "from inr.studies.plot import *\n"
        "png_of([Panel('x', 'y', (Series('画像 $_{', ((1.0, 2.0),)),))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=tmp_path if lies in ("current folder", "no text") else "/",
        capture_output=True,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
