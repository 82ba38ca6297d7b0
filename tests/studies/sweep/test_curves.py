"""curves.py: which points are joined, and what they are means of."""

import pytest

from inr.studies.plot import Curve, Point
from inr.studies.sweep.curves import curves_of


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
    curves = curves_of(*made)
    assert [curve.name for curve in curves] == [
        "mean of 2 pictures: siren sparsify.sparsity=0",
        "mean of 2 pictures: siren sparsify.sparsity=0.5",
        "a.png: siren sparsify.sparsity=0",
        "a.png: siren sparsify.sparsity=0.5",
        "b.png: siren sparsify.sparsity=0",
        "b.png: siren sparsify.sparsity=0.5",
    ]
    similarity = pytest.approx(0.9)  # a sum of 0.9s in binary, divided
    assert curves[2].points == (  # 24 dB and 26 dB, then 26 dB and 28 dB
        Point(1.0, 25.0, similarity, "quantize.bits=4"),
        Point(2.0, 27.0, similarity, "quantize.bits=6"),
    )
    assert [(p.bpp, p.psnr_db) for p in curves[0].points] == [(1.0, 30.0), (2.0, 32.0)]
    assert [(p.bpp, p.psnr_db) for p in curves[1].points] == [(0.5, 30.0), (1.5, 32.0)]


def test_a_mean_is_over_all_pictures_or_it_is_not_there(made):
    runs, results = made
    for seed in (0, 1):
        del results[f"b.png 0 6 {seed}"]
    del results["a.png 0 4 1"]  # one seed of two: the other counts alone
    curves = {curve.name: curve.points for curve in curves_of(runs, results)}
    assert [p.label for p in curves["mean of 2 pictures: siren sparsify.sparsity=0"]] == [
        "quantize.bits=4"
    ]
    assert [p.psnr_db for p in curves["a.png: siren sparsify.sparsity=0"]] == [24.0, 27.0]
    assert len(curves["b.png: siren sparsify.sparsity=0"]) == 1


def test_ms_ssim_is_there_only_if_every_run_has_it(made, make_result):
    runs, results = made
    results["a.png 0 4 0"] = make_result(ms_ssim=None)
    curves = {curve.name: curve.points for curve in curves_of(runs, results)}
    assert curves["a.png: siren sparsify.sparsity=0"][0].ms_ssim is None
    assert curves["mean of 2 pictures: siren sparsify.sparsity=0"][0].ms_ssim is None
    assert curves["b.png: siren sparsify.sparsity=0"][0].ms_ssim == pytest.approx(0.9)


def test_without_varied_paths_a_recipe_is_one_point(make_run, make_result):
    runs = [make_run("ab"), make_run("cd", recipe="siren_zstd")]
    assert curves_of(runs, {"ab": make_result(), "cd": make_result()}) == [
        Curve("a.png: siren", (Point(1.0, 30.0, None, ""),)),
        Curve("a.png: siren_zstd", (Point(1.0, 30.0, None, ""),)),
    ]


def test_nothing_finished_gives_no_curve(made):
    assert curves_of(made[0], {}) == []
