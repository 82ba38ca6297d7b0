"""pages.py: table, plot and page of rows that are made up."""

import dataclasses
import math
import sys

import pytest
from helpers.compare_samples import HALF, PSNRS, RATES, ROW, noise, rows_of
from PIL import Image

from inr.studies.compare.inputs import NamedPicture
from inr.studies.compare.pages import conventions, write_plot, write_report, write_table
from inr.studies.compare.summary import bd_rates
from inr.studies.report import Pair, Table


def test_csv_has_a_column_a_field(tmp_path):
    write_table(tmp_path, [ROW, dataclasses.replace(ROW, psnr_db=math.inf, ms_ssim=0.5)])
    assert (tmp_path / "rows.csv").read_text() == (
        "picture,codec,setting,n_bytes,bpp,psnr_db,ms_ssim,encode_seconds,decode_seconds\n"
        "a.png,jpeg,50.0,1000,0.5,30.0,,0.1,0.2\n"
        "a.png,jpeg,50.0,1000,0.5,inf,0.5,0.1,0.2\n"
    )


def test_the_plot_is_a_png_and_the_same_in_the_page(tmp_path):
    rows = rows_of("jpeg", RATES, [*PSNRS[:3], math.inf], similarities=[0.8, 0.9, 0.95, 1.0])
    svg = write_plot(tmp_path, rows, pytest.fail)
    assert svg.count("<title>") == 6  # three of finite PSNR, three of finite MS-SSIM
    with Image.open(tmp_path / "rd.png") as image:
        assert (image.format, image.width) == ("PNG", 13 * 120)


def test_without_matplotlib_the_earlier_plot_is_told(tmp_path, monkeypatch):
    (tmp_path / "rd.png").touch()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    notices = []
    assert write_plot(tmp_path, rows_of("jpeg", RATES, PSNRS), notices.append) is None
    assert notices[0].text.startswith(f"{tmp_path / 'rd.png'} is not written: matplotlib: ")
    assert notices[0].text.endswith("; the one there is of an earlier run")


def test_the_page_has_all_tables_and_what_a_reader_has_to_know(tmp_path):
    rows = [*rows_of("jpeg", RATES, PSNRS), *rows_of("<webp>", HALF, PSNRS)]
    picture = NamedPicture("a.png", noise())
    write_report(
        tmp_path,
        rows,
        bd_rates(rows, "jpeg"),
        anchor="jpeg",
        notes=conventions([picture]),
        svg=None,
        settings=Table("Settings", ("codec",), (("jpeg",),)),
        pairs=[Pair("p", picture.pixels, picture.pixels)],
    )
    page = (tmp_path / "report.html").read_text()
    heads = [part.split("</h2>")[0] for part in page.split("<h2>")[1:]]
    assert heads == [
        "BD-rate against jpeg, mean",
        "BD-rate against jpeg, each picture",
        "Settings",
        "Means over 1 pictures",
        "All rows",
        "p",
    ]
    assert "a.png 32x24" in page
    assert "<td>&lt;webp&gt;</td>" in page
    assert ">-50<" in page
