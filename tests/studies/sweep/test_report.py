"""curves.py, plot.py and pages.py: what a reader sees of a sweep."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inr.mlp.encode import encode_one_colour
from inr.options import EncodeOptions
from inr.studies.report import Curve, Point, Table
from inr.studies.sweep import pages
from inr.studies.sweep.curves import curves
from inr.studies.sweep.plan import hash_of_picture, hash_of_run
from inr.studies.sweep.plot import write_plot

NO_TABLE = Table("Runs", (), ())


@pytest.fixture
def made(make_run, make_result):
    """Two pictures, two sparsities, two bits, two seeds: (runs, results)."""
    runs, results = [], {}
    for picture, picture_db in (("a.png", 0.0), ("b.png", 10.0)):
        for sparsity in ("0", "0.5"):
            for bits, bpp in (("4", 1.0), ("6", 2.0)):
                for seed in (0, 1):
                    name = f"{picture} {sparsity} {bits} {seed}"
                    varied = (("sparsify.sparsity", sparsity), ("quantize.bits", bits))
                    runs.append(make_run(name, picture, varied, seed))
                    psnr_db = 20 + picture_db + int(bits) + 2 * seed
                    results[name] = make_result(bpp - float(sparsity), psnr_db, 0.9)
    return runs, results


def test_the_last_varied_path_runs_along_the_curves(made):
    drawn = curves(*made)
    assert [curve.name for curve in drawn] == [
        "mean of 2 pictures: siren sparsify.sparsity=0",
        "mean of 2 pictures: siren sparsify.sparsity=0.5",
        "a.png: siren sparsify.sparsity=0",
        "a.png: siren sparsify.sparsity=0.5",
        "b.png: siren sparsify.sparsity=0",
        "b.png: siren sparsify.sparsity=0.5",
    ]
    similarity = pytest.approx(0.9)  # a sum of 0.9s in binary, divided
    assert drawn[2].points == (  # 24 dB and 26 dB, then 26 dB and 28 dB
        Point(1.0, 25.0, similarity, "quantize.bits=4"),
        Point(2.0, 27.0, similarity, "quantize.bits=6"),
    )
    assert [(p.bpp, p.psnr_db) for p in drawn[0].points] == [(1.0, 30.0), (2.0, 32.0)]
    assert [(p.bpp, p.psnr_db) for p in drawn[1].points] == [(0.5, 30.0), (1.5, 32.0)]


def test_a_mean_is_over_all_pictures_or_it_is_not_there(made):
    runs, results = made
    for seed in (0, 1):
        del results[f"b.png 0 6 {seed}"]
    del results["a.png 0 4 1"]  # one seed of two: the other counts alone
    drawn = {curve.name: curve.points for curve in curves(runs, results)}
    assert [p.label for p in drawn["mean of 2 pictures: siren sparsify.sparsity=0"]] == [
        "quantize.bits=4"
    ]
    assert [p.psnr_db for p in drawn["a.png: siren sparsify.sparsity=0"]] == [24.0, 27.0]
    assert len(drawn["b.png: siren sparsify.sparsity=0"]) == 1


def test_ms_ssim_is_there_only_if_every_run_has_it(made, make_result):
    runs, results = made
    results["a.png 0 4 0"] = make_result(ms_ssim=None)
    drawn = {curve.name: curve.points for curve in curves(runs, results)}
    assert drawn["a.png: siren sparsify.sparsity=0"][0].ms_ssim is None
    assert drawn["mean of 2 pictures: siren sparsify.sparsity=0"][0].ms_ssim is None
    assert drawn["b.png: siren sparsify.sparsity=0"][0].ms_ssim == pytest.approx(0.9)


def test_without_varied_paths_a_recipe_is_one_point(make_run, make_result):
    runs = [make_run("ab"), make_run("cd", recipe="siren_zstd")]
    drawn = curves(runs, {"ab": make_result(), "cd": make_result()})
    assert drawn == [
        Curve("a.png: siren", (Point(1.0, 30.0, None, ""),)),
        Curve("a.png: siren_zstd", (Point(1.0, 30.0, None, ""),)),
    ]


def test_nothing_finished_gives_no_curve(made):
    assert curves(made[0], {}) == []


# ---------------------------------------------------------------- plot


@pytest.mark.parametrize("similarity", [0.9, None])
def test_the_plot_is_a_picture(tmp_path, similarity):
    points = (Point(1.0, 30.0, similarity, "x"), Point(0.5, math.inf, similarity, "y"))
    write_plot(tmp_path / "rd.png", [Curve(f"curve {i}", points) for i in range(20)])
    with Image.open(tmp_path / "rd.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000


def test_the_plot_of_nothing_and_of_infinite_psnr(tmp_path):
    write_plot(tmp_path / "rd.png", [])
    write_plot(tmp_path / "rd.png", [Curve("exact", (Point(1.0, math.inf, None, ""),))])


# ---------------------------------------------------------------- report


@pytest.fixture
def filed(folder, make_run, make_result):
    """Writes a file for each (name, n_bytes) and returns (runs, results); pixels are black."""
    (folder / "files").mkdir()

    def make(picture, sizes):
        from inr import recipes
        from inr.image.read import load

        data = encode_one_colour(load(picture, warn=pytest.fail), recipes.siren())
        pixels_hash = hash_of_picture(load(picture, warn=pytest.fail))
        runs = [
            make_run(
                hash_of_run(pixels_hash, recipes.siren(), EncodeOptions(seed=size)),
                picture,
                (("size", str(size)),),
                seed=size,
            )
            for size in sizes
        ]
        for run in runs:
            (folder / f"files/{run.config_hash}.inr").write_bytes(data)
        return runs, {run.config_hash: make_result(n_bytes=int(run.varied[0][1])) for run in runs}

    return make


def test_pairs_are_the_smallest_and_the_largest_file_of_each_picture(folder, filed):
    (runs, results), (more_runs, more_results) = filed("a.png", [7, 5, 9]), filed("b.png", [3])
    pairs = list(pages._pairs(runs + more_runs, results | more_results, folder, pytest.fail))
    assert [pair.title for pair in pairs] == [
        "a.png siren size=5 seed 5: 1.0000 bpp, 30.00 dB",
        "a.png siren size=9 seed 9: 1.0000 bpp, 30.00 dB",
        "b.png siren size=3 seed 3: 1.0000 bpp, 30.00 dB",
    ]
    with Image.open("a.png") as image:
        np.testing.assert_array_equal(pairs[0].original, np.asarray(image))
    assert pairs[0].decoded.shape == (12, 16, 3)


def test_the_page_does_not_grow_without_end(folder, filed, monkeypatch):
    all_runs, all_results = [], {}
    for i in range(9):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(f"{i}.png")
        runs, results = filed(f"{i}.png", [1, 2])
        all_runs, all_results = all_runs + runs, all_results | results
    assert len(list(pages._pairs(all_runs, all_results, folder, pytest.fail))) == 12
    monkeypatch.setattr(pages, "_MOST_BYTES", 2500)  # a pair of 16 x 12 takes about 1000
    assert 1 <= len(list(pages._pairs(all_runs, all_results, folder, pytest.fail))) <= 3


def test_sixteen_bits_are_shown_by_their_upper_eight(folder, filed):
    Image.fromarray(np.full((12, 16), 0x1234, np.uint16)).save("deep.png")
    (pair,) = pages._pairs(*filed("deep.png", [1]), folder, pytest.fail)
    assert pair.original.dtype == np.uint8
    assert pair.original.shape == (12, 16, 1)
    assert (pair.original == 0x12).all()


def test_the_report_tells_what_failed_and_escapes_it(folder, filed, make_run):
    runs, results = filed("a.png", [5])
    failed = make_run("zz", "b.png", seed=4)
    pages.write_report(
        folder,
        [*runs, failed],
        results,
        {"zz": "no <b>number</b>"},
        curves(runs, results),
        NO_TABLE,
        warn=pytest.fail,
    )
    html = Path("report.html").read_text()
    assert "Failed runs" in html
    assert "b.png siren seed 4" in html
    assert "no &lt;b&gt;number" in html
    assert html.count("data:image/png;base64,") == 2
    assert "c0ffee" in html


@pytest.mark.parametrize("what", ["deleted", "changed", "of another size", "file lost", "damaged"])
def test_what_cannot_be_shown_any_more_is_told_and_the_report_stands(folder, filed, what):
    (bad, bad_results), (good, good_results) = filed("a.png", [5]), filed("b.png", [3])
    file = folder / f"files/{bad[0].config_hash}.inr"
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
    told = []
    pages.write_report(
        *(folder, [*bad, *good], bad_results | good_results, {}, [], NO_TABLE), warn=told.append
    )
    (line,) = told
    assert line.startswith("a.png siren size=5 seed 5 is not shown in the report: ")
    html = Path("report.html").read_text()
    assert html.count("data:image/png;base64,") == 2
    assert "b.png siren size=3" in html
