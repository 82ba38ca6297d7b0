"""tables.py: the table that scripts read."""

import csv
import math

import pytest

from inr.studies.sweep.tables import columns, has_parquet, rows, write_csv, write_parquet

VARIED = ("sparsify.sparsity", "quantize")


@pytest.fixture
def table(make_run, make_result):
    """Three runs, of which the second is not finished."""
    runs = [
        make_run("ab", varied=(("sparsify.sparsity", "0"), ("quantize", "uniform"))),
        make_run("cd", varied=(("sparsify.sparsity", "0.5"), ("quantize", "uniform"))),
        make_run("ef", varied=(("sparsify.sparsity", "0.5"), ("quantize", "kmeans")), seed=3),
    ]
    return rows(runs, {"ab": make_result(), "ef": make_result(psnr_db=math.inf, ms_ssim=0.9)})


def test_the_csv_to_the_letter(table, tmp_path):
    write_csv(tmp_path / "runs.csv", columns(VARIED), table)
    assert (tmp_path / "runs.csv").read_bytes().decode() == (
        "picture,recipe,sparsify.sparsity,quantize,seed,n_bytes,bpp,psnr_db,ms_ssim,sparsity,"
        "steps,seconds,n_together,cores,config_hash,commit,machine\n"
        'a.png,siren,0,uniform,0,24,1.0,30.0,,0.5,5,2.0,1,1,ab,c0ffee,"1 of 1 cores of a CPU, jax '
        'on cpu"\n'
        'a.png,siren,0.5,kmeans,3,24,1.0,inf,0.9,0.5,5,2.0,1,1,ef,c0ffee,"1 of 1 cores of a CPU, '
        'jax on cpu"\n'
    )


def test_floats_keep_all_their_digits_and_odd_names_their_letters(make_run, make_result, tmp_path):
    name = 'a "quoted", long\nname.png'
    made = rows([make_run("ab", picture=name)], {"ab": make_result(bpp=0.1 + 0.2)})
    write_csv(tmp_path / "runs.csv", columns(()), made)
    with open(tmp_path / "runs.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["picture"], float(row["bpp"])) == (name, 0.1 + 0.2)


def test_without_finished_runs_the_header_stands_alone(tmp_path):
    write_csv(tmp_path / "runs.csv", columns(("fit.steps",)), [])
    assert (tmp_path / "runs.csv").read_text().startswith("picture,recipe,fit.steps,seed,")


def test_parquet_has_numbers_where_all_values_are(table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert has_parquet()
    write_parquet(tmp_path / "runs.parquet", columns(VARIED), VARIED, table)
    stored = parquet.read_table(tmp_path / "runs.parquet")
    assert stored.column_names == list(columns(VARIED))
    assert stored["sparsify.sparsity"].to_pylist() == [0.0, 0.5]
    assert stored["quantize"].to_pylist() == ["uniform", "kmeans"]
    assert stored["seed"].to_pylist() == [0, 3]
    assert stored["psnr_db"].to_pylist() == [30.0, math.inf]
    assert stored["ms_ssim"].to_pylist() == [None, 0.9]
    assert stored["config_hash"].to_pylist() == ["ab", "ef"]


def test_parquet_without_rows(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "runs.parquet", columns(VARIED), VARIED, [])
    assert parquet.read_table(tmp_path / "runs.parquet").num_rows == 0
