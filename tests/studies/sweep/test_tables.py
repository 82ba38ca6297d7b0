"""tables.py: the table that scripts read."""

import csv
import io
import math
import sys

import pytest

from inr.errors import CodecError
from inr.studies.sweep.tables import has_parquet, table_of, write_parquet

VARIED = ("sparsify.sparsity", "quantize")


@pytest.fixture
def runs(make_run):
    return [
        make_run("ab", varied=(("sparsify.sparsity", "0"), ("quantize", "uniform"))),
        make_run("cd", varied=(("sparsify.sparsity", "0.5"), ("quantize", "uniform"))),
        make_run("ef", varied=(("sparsify.sparsity", "0.5"), ("quantize", "kmeans")), seed=3),
    ]


@pytest.fixture
def table(runs, make_result):
    """Of three runs, the second of which is not finished."""
    return table_of(runs, {"ab": make_result(), "ef": make_result(psnr_db=math.inf, ms_ssim=0.9)})


def test_the_csv_to_the_letter(table):
    assert table.to_csv() == (
        "picture,recipe,sparsify.sparsity,quantize,seed,n_bytes,bpp,psnr_db,ms_ssim,sparsity,"
        "steps,seconds,n_together,cores,config_hash,commit,machine\n"
        'a.png,siren,0,uniform,0,24,1.0,30.0,,0.5,5,2.0,1,1,ab,c0ffee,"1 of 1 cores of a CPU, jax '
        'on cpu"\n'
        'a.png,siren,0.5,kmeans,3,24,1.0,inf,0.9,0.5,5,2.0,1,1,ef,c0ffee,"1 of 1 cores of a CPU, '
        'jax on cpu"\n'
    )


def test_floats_keep_all_their_digits_and_odd_names_their_letters(make_run, make_result):
    name = 'a "quoted", long\nname.png'
    made = table_of([make_run("ab", picture=name)], {"ab": make_result(bpp=0.1 + 0.2)})
    (row,) = csv.DictReader(io.StringIO(made.to_csv(), newline=""))
    assert (row["picture"], float(row["bpp"])) == (name, 0.1 + 0.2)


def test_without_finished_runs_the_header_stands_alone(runs):
    assert table_of(runs, {}).to_csv().count("\n") == 1


def test_parquet_has_numbers_where_all_values_are(table, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert has_parquet()
    write_parquet(tmp_path / "runs.parquet", table, VARIED)
    stored = parquet.read_table(tmp_path / "runs.parquet")
    assert tuple(stored.column_names) == table.columns
    assert stored["sparsify.sparsity"].to_pylist() == [0.0, 0.5]
    assert stored["quantize"].to_pylist() == ["uniform", "kmeans"]
    assert stored["seed"].to_pylist() == [0, 3]
    assert stored["psnr_db"].to_pylist() == [30.0, math.inf]
    assert stored["ms_ssim"].to_pylist() == [None, 0.9]
    assert stored["config_hash"].to_pylist() == ["ab", "ef"]


def test_parquet_without_rows(runs, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "runs.parquet", table_of(runs, {}), VARIED)
    assert parquet.read_table(tmp_path / "runs.parquet").num_rows == 0


def test_a_pyarrow_that_fails_is_an_error_of_ours(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CodecError, match=r"^pyarrow: "):
        write_parquet(tmp_path / "runs.parquet", table, VARIED)
