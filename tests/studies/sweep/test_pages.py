"""pages.py: what a reader gets of a sweep, also where other libraries or files fail."""

import base64
import io
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_runs import BITS, Calls, names, planned, request_of, swept, table
from PIL import Image

from inr.studies.sweep.pages import write_outputs
from inr.studies.sweep.request import ledger_of

pytestmark = pytest.mark.usefixtures("folder")

AWKWARD = {  # name of the file: how it is shown
    "Ba$$in.png": "Ba$$in.png",
    "_a\\frac{1}^%.png": "_a\\frac{1}^%.png",
    "画像.png": "画像.png",
    "שלום e\u0301.png": "שלום e\u0301.png",
    "<script>&'\".png": "<script>&'\".png",
    "=1+1,tab\t.png": "=1+1,tab\\t.png",
    "two\nlines\u202e.png": "two\\nlines\\u202e.png",
    os.fsdecode(b"caf\xe9.png"): "caf\\xe9.png",
    "caf\\xe9.png": "caf\\\\xe9.png",
    "x" * 251 + ".png": "x" * 251 + ".png",
}


def test_names_of_every_kind():
    for i, name in enumerate(AWKWARD):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        try:
            Path(name).write_bytes(buffer.getvalue())
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system has no such names ({error})")
    _, notices = swept(request_of(tuple(AWKWARD), varied=BITS), Calls())
    assert notices == []
    shown = list(AWKWARD.values())
    assert list(dict.fromkeys(row["picture"] for row in table())) == shown
    with sqlite3.connect("out/ledger.sqlite") as connection:
        rows = connection.execute("SELECT DISTINCT picture FROM runs")
        assert {name for (name,) in rows} == set(shown)
    connection.close()
    html = Path("out/report.html").read_text(encoding="utf-8")
    for name in ("Ba$$in.png", "caf\\xe9.png", "画像.png", "&lt;script&gt;&amp;&#x27;&quot;.png"):
        assert f"<td>{name}</td>" in html
    with Image.open("out/rd.png") as image:
        assert image.format == "PNG"
    parquet = pytest.importorskip("pyarrow.parquet")
    assert set(parquet.read_table("out/runs.parquet")["picture"].to_pylist()) == set(shown)


def test_without_matplotlib_all_else_is_written(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, (notice,) = swept(request_of(varied=BITS), Calls())
    assert notice.text.startswith("out/rd.png is not written: matplotlib: ")
    assert {"runs.csv", "report.html"} <= set(names())
    assert "rd.png" not in names()
    assert "<svg" not in Path("out/report.html").read_text()


def test_a_plot_of_an_earlier_sweep_is_told(monkeypatch):
    swept(request_of(varied=BITS), Calls())
    before = Path("out/rd.png").read_bytes()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    _, (notice,) = swept(request_of(varied=BITS), Calls())
    assert notice.text.endswith("; the one there is of an earlier run")
    assert Path("out/rd.png").read_bytes() == before


def test_a_pyarrow_that_fails_loses_nothing(monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")

    def write_table(*_, **__):
        raise OverflowError("too\nbig")

    monkeypatch.setattr(parquet, "write_table", write_table)
    _, (notice,) = swept(request_of(varied=BITS), Calls())
    assert notice.text == "out/runs.parquet is not written: pyarrow: OverflowError: too big"
    assert {"runs.csv", "rd.png", "report.html"} <= set(names())
    assert "runs.parquet" not in names()


# ---------------------------------------------------------------- pairs


def report(plan, *, errors=None, **limits):
    """Writes the outputs of a planned sweep again; returns warnings and the page."""
    warnings, rows = [], ledger_of(Path("out")).rows()
    write_outputs(plan, rows, errors or {}, warn=warnings.append, **limits)
    return warnings, Path("out/report.html").read_text()


def titles(html):
    """Of the pairs of pictures."""
    return [part.split('"')[0] for part in html.split('alt="decoded: ')[1:]]


def test_pairs_are_the_smallest_and_the_largest_file_of_each_picture():
    values = {"quantize.bits": ("4", "5", "6")}
    request = request_of(("a.png", "flat.png"), varied=values)
    swept(request, Calls())
    plan, ledger = planned(request), ledger_of(Path("out"))
    for run, n_bytes in zip(plan.runs, (7, 5, 9, 3, 3, 3), strict=True):
        row = ledger.rows()[run.config_hash]
        ledger.record(run.entry, type(row)(**(vars(row) | {"n_bytes": n_bytes})))
    warnings, html = report(plan)
    assert warnings == []
    assert [title.split(": ")[0] for title in titles(html)] == [
        "a.png siren quantize.bits=5 seed 0",
        "a.png siren quantize.bits=6 seed 0",
        "flat.png siren quantize.bits=4 seed 0",
        "flat.png siren quantize.bits=6 seed 0",
    ]
    assert titles(html)[0].endswith(" bpp, 50.00 dB")
    assert html.count("data:image/png;base64,") == 8


def test_the_page_does_not_grow_without_end():
    pictures = [f"{i}.png" for i in range(13)]
    for i, name in enumerate(pictures):
        Image.new("RGB", (16, 12), (i, 200, 30)).save(name)
    request = request_of(pictures, settings={})
    swept(request, Calls())
    assert len(titles(Path("out/report.html").read_text())) == 12
    # A pair of 16 x 12 takes some 200 bytes.
    assert 1 <= len(titles(report(planned(request), max_bytes=1000)[1])) <= 6


def test_sixteen_bits_are_shown_by_their_upper_eight():
    Image.fromarray(np.full((12, 16), 0x1234, np.uint16)).save("deep.png")
    swept(request_of(("deep.png",)), Calls())
    html = Path("out/report.html").read_text()
    _, _, original = html.partition('class="top" src="data:image/png;base64,')
    with Image.open(io.BytesIO(base64.b64decode(original.split('"')[0]))) as image:
        assert (image.mode, image.getextrema()) == ("L", (0x12, 0x12))


def test_the_report_tells_what_failed_and_escapes_it():
    request = request_of(varied=BITS)
    swept(request_of(varied={"quantize.bits": ("4",)}), Calls())
    plan = planned(request)
    _, html = report(plan, errors={plan.runs[1].config_hash: "no <b>number</b>"})
    assert "Failed runs" in html
    assert "a.png siren quantize.bits=6 seed 0" in html
    assert "no &lt;b&gt;number" in html


@pytest.mark.parametrize("what", ["deleted", "changed", "of another size", "file lost", "damaged"])
def test_what_cannot_be_shown_any_more_is_told_and_the_report_stands(what):
    request = request_of(("a.png", "b.png"))
    swept(request, Calls())
    plan = planned(request)
    file = plan.runs[0].file(Path("out"))
    if what == "deleted":
        Path("a.png").unlink()
    elif what == "changed":
        Image.open("b.png").save("a.png")
    elif what == "of another size":
        Image.new("RGB", (3, 3)).save("a.png")
    elif what == "file lost":
        file.unlink()
    else:
        file.write_bytes(b"no .inr file")
    (warning,), html = report(plan)
    assert warning.startswith("a.png siren seed 0 is not shown in the report: ")
    assert [title.split(":")[0] for title in titles(html)] == ["b.png siren seed 0"]
