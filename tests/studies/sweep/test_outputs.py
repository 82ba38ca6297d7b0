"""What a sweep writes after its runs: names of every kind, and other libraries that fail."""

import io
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_runs import SWEEP, names, started, table
from PIL import Image

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


@pytest.fixture
def awkward(folder):
    """Files of these names, each another picture."""
    for i, name in enumerate(AWKWARD):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        try:
            Path(name).write_bytes(buffer.getvalue())
        except (OSError, UnicodeError) as error:
            pytest.skip(f"this file system has no such names ({error})")
    return list(AWKWARD)


@pytest.mark.usefixtures("instant")
def test_names_of_every_kind(run, awkward):
    assert run(*awkward, *SWEEP[1:])[0::2] == (0, "")
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


@pytest.mark.usefixtures("instant")
def test_names_of_every_kind_in_parquet(run, awkward):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(*awkward, *SWEEP[1:], "-q") == (0, "", "")
    assert set(parquet.read_table("out/runs.parquet")["picture"].to_pylist()) == set(
        AWKWARD.values()
    )


@pytest.mark.slow  # a process
def test_a_list_of_such_names_on_a_stream_that_knows_only_ascii(awkward, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    out, err = (process := started(*awkward, *SWEEP[1:], "--dry-run", "-q")).communicate()
    assert (process.returncode, err) == (0, "")
    assert "caf\\xe9.png siren quantize.bits=4 seed 0" in out
    assert "\\u753b\\u50cf.png siren quantize.bits=4 seed 0" in out


# ---------------------------------------------------------------- other libraries


@pytest.mark.usefixtures("folder", "instant")
def test_without_matplotlib_all_else_is_written(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run(*SWEEP)
    assert code == 0
    assert out.startswith("out: 2 runs")
    assert err.startswith("warning: out/rd.png is not written: matplotlib: ")
    assert err.count("\n") == 1
    assert {"runs.csv", "report.html"} <= set(names())
    assert "rd.png" not in names()
    assert run(*SWEEP, "-q") == (0, "", "")


@pytest.mark.usefixtures("folder", "instant")
def test_a_plot_of_an_earlier_sweep_is_told(run, monkeypatch):
    run(*SWEEP)
    before = Path("out/rd.png").read_bytes()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run(*SWEEP)
    assert code == 0
    assert err.endswith("; the one there is of an earlier run\n")
    assert Path("out/rd.png").read_bytes() == before


@pytest.mark.usefixtures("folder", "instant")
def test_a_pyarrow_that_fails_loses_nothing(run, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")

    def write_table(*_, **__):
        raise OverflowError("too\nbig")

    monkeypatch.setattr(parquet, "write_table", write_table)
    code, _, err = run(*SWEEP)
    assert (code, err) == (
        0,
        "warning: out/runs.parquet is not written: pyarrow: OverflowError: too big\n",
    )
    assert {"runs.csv", "rd.png", "report.html"} <= set(names())
    assert "runs.parquet" not in names()


# ---------------------------------------------------------------- what is the user's


@pytest.mark.usefixtures("folder")
def test_a_picture_of_the_users_is_not_overwritten(run, instant):
    run(*SWEEP)
    Image.open("b.png").save("out/rd.png")
    before = Path("out/rd.png").read_bytes()
    code, out, err = run("out/rd.png", *SWEEP[1:])
    assert (code, out) == (1, "")
    assert err == ("error: out/rd.png would be overwritten, an input; name another folder\n")
    assert Path("out/rd.png").read_bytes() == before


@pytest.mark.usefixtures("folder", "instant")
def test_a_folder_of_pictures_may_get_the_results_beside_them(run):
    before = Path("a.png").read_bytes()
    assert run(*SWEEP[:-1], ".", "-q") == (0, "", "")
    assert Path("a.png").read_bytes() == before
    assert {"a.png", "b.png", "runs.csv", "files"} <= set(names("."))


@pytest.mark.usefixtures("folder", "instant")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-", *SWEEP[1:]), "standard input has no name for the tables"),
        ((*SWEEP[:-1], "-"), "-o -: the results are several files; name a folder"),
    ],
)
def test_standard_streams_are_refused(run, arguments, text):
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert text in err
