"""run.py: comparisons of quick codecs, also such as go on after a kill."""

import csv
import dataclasses
import sys
from pathlib import Path

import pytest
from helpers.compare_samples import noise, saved
from PIL import Image

from inr.errors import BackendError, CodecError
from inr.studies.baselines import PictureCodec, find_codec
from inr.studies.compare.inputs import NamedPicture
from inr.studies.compare.run import TimeLeft, compare
from inr.studies.failures import Notice


@dataclasses.dataclass
class Calls:
    """What a quick codec was asked for; fails or ends the run where it is told to."""

    asked: list = dataclasses.field(default_factory=list)
    failing: tuple = ()
    broken: tuple = ()
    killed_at: float | None = None

    def encode(self, pixels, quality):
        self.asked.append(quality)
        if quality == self.killed_at:
            raise KeyboardInterrupt
        if quality in self.failing:
            raise CodecError("the encoder gave up")
        if quality in self.broken:
            raise TypeError("our own mistake")
        return find_codec("jpeg420").encode(pixels, quality)


def quick(
    name="quick", settings="as it is; quality", qualities=(10, 30, 60, 90), library="quick 1"
):
    calls = Calls()
    decode = find_codec("jpeg420").decode
    codec = PictureCodec(
        name, settings, qualities, calls.encode, decode, lambda: None, lambda: library
    )
    return codec, calls


def unheard(notice):
    pytest.fail(f"unexpected: {notice.text}")


def run(folder, codecs, *, recipes=(), pictures=None, anchor="quick", notify=unheard):
    told = []
    pictures = pictures or [NamedPicture("a.png", noise())]
    done = compare(
        pictures, codecs, recipes, folder, anchor=anchor, tell=told.append, notify=notify
    )
    return done, told


def test_a_run_writes_rows_plot_and_report(tmp_path):
    first, _ = quick()
    second, _ = quick("<other>")
    done, told = run(tmp_path / "out", [first, second])
    assert len(done.rows) == len(told) == 8
    assert told[0].startswith("1/8, at least 0:0")
    assert ": a.png, quick at 10: " in told[0]
    assert told[-1].startswith("8/8, 0:00 left: a.png, <other> at 90: ")
    with open(tmp_path / "out/rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    data = first.encode(noise(), 10)
    assert int(table[0]["n_bytes"]) == len(data)
    assert float(table[0]["bpp"]) == 8 * len(data) / (24 * 32)
    page = (tmp_path / "out/report.html").read_text()
    assert "&lt;other&gt;" in page
    assert "<other>" not in page
    assert "as it is; quality" in page
    assert done.bd_rates[0].codec == "<other>"
    assert done.bd_rates[0].percent == pytest.approx(0)  # the same files
    with Image.open(tmp_path / "out/rd.png") as image:
        assert image.format == "PNG"


def test_nothing_is_measured_twice(tmp_path):
    codec, calls = quick()
    before, _ = run(tmp_path, [codec])
    calls.asked.clear()
    after, told = run(tmp_path, [codec])
    assert (calls.asked, told) == ([], [])
    assert after == before


def test_a_killed_run_goes_on(tmp_path):
    codec, calls = quick()
    calls.killed_at = 60
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [codec])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoded", "ledger.sqlite"]
    calls.asked.clear()
    calls.killed_at = None
    done, _ = run(tmp_path, [codec])
    assert calls.asked == [60, 90]
    assert [row.setting for row in done.rows] == [10, 30, 60, 90]


@pytest.mark.parametrize(
    ("changed", "pictures"),
    [
        ({"settings": "slower; quality"}, None),
        ({}, [NamedPicture("a.png", noise(seed=1))]),
        ({}, [NamedPicture("b.png", noise())]),
        ({}, [NamedPicture("a.png", noise().reshape(32, 24, 3))]),
    ],
)
def test_what_changes_the_result_is_measured_again(tmp_path, changed, pictures):
    run(tmp_path, [quick()[0]])
    codec, calls = quick(**changed)
    done, _ = run(tmp_path, [codec], pictures=pictures)
    assert calls.asked == [10, 30, 60, 90]
    assert len(done.rows) == 4


def test_more_qualities_cost_only_themselves(tmp_path):
    run(tmp_path, [quick()[0]])
    codec, calls = quick(qualities=(10, 20, 30))
    done, _ = run(tmp_path, [codec])
    assert calls.asked == [20]
    assert [row.setting for row in done.rows] == [10, 20, 30]  # 60 and 90 were not asked for


def test_failures_are_skipped_and_told(tmp_path):
    codec, calls = quick()
    calls.failing = (30,)
    done, told = run(tmp_path, [codec])
    assert [row.setting for row in done.rows] == [10, 60, 90]
    assert done.skipped == ("a.png, quick at 30: the encoder gave up",)
    assert told[1] == "skipped a.png, quick at 30: the encoder gave up"
    assert (
        "Skipped: a.png, quick at 30: the encoder gave up" in (tmp_path / "report.html").read_text()
    )


def test_a_bug_is_skipped_with_its_traceback_shown_once(tmp_path):
    codec, calls = quick()
    calls.broken = (30, 60)
    notices = []
    done, told = run(tmp_path, [codec], notify=notices.append)
    assert [row.setting for row in done.rows] == [10, 90]
    text = (
        "a.png, quick at 30: TypeError: our own mistake (a bug of inr, whose traceback was shown)"
    )
    assert (done.skipped[0], done.n_bugs, told[1]) == (text, 2, f"skipped {text}")
    (notice,) = notices
    assert notice.is_traceback
    assert notice.text.endswith("\nTypeError: our own mistake")


def test_rows_of_another_library_are_told_and_made_again(tmp_path):
    run(tmp_path, [quick()[0]])
    codec, calls = quick(library="quick 2")
    notices = []
    run(tmp_path, [codec], notify=notices.append)
    assert notices == [Notice("4 rows were made by other code (quick 1) and are made again")]
    assert calls.asked == [10, 30, 60, 90]
    calls.asked.clear()
    run(tmp_path, [codec])
    run(tmp_path, [quick()[0]])  # the first rows are still there
    assert calls.asked == []


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"no .inr file"), Path.unlink])
def test_without_plot_or_picture_the_rest_is_written(tmp_path, monkeypatch, damage):
    codec, _ = quick()
    recipe, _ = quick("siren", qualities=(20,))
    run(tmp_path, [codec], recipes=[recipe])
    (kept,) = (tmp_path / "encoded").iterdir()
    damage(kept)
    for name in ("rows.csv", "report.html"):
        (tmp_path / name).unlink()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    notices = []
    run(tmp_path, [codec], recipes=[recipe], notify=notices.append)
    plot, *others = [notice.text for notice in notices]
    assert plot.startswith(f"{tmp_path / 'rd.png'} is not written: matplotlib: ")
    assert plot.endswith("; the one there is of an earlier run")
    if damage != Path.unlink:
        assert others[0].startswith("a.png, siren at 20 is not shown in the report: Pillow: ")
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1 + 5
    assert "data:image/png" not in (tmp_path / "report.html").read_text()


def test_what_would_meet_every_recipe_ends_the_comparison(tmp_path):
    def encode(pixels, quality):
        raise BackendError("no such backend")

    recipe = dataclasses.replace(quick("siren")[0], encode=encode)
    with pytest.raises(BackendError):
        run(tmp_path, [quick()[0]], recipes=[recipe])
    assert len(run(tmp_path, [quick()[0]])[1]) == 0  # the quick codec's rows are there


def test_a_picture_of_the_users_is_not_overwritten(tmp_path):
    codec, calls = quick()
    run(tmp_path, [codec])
    path = saved(tmp_path / "rd.png", noise())
    calls.asked.clear()
    with pytest.raises(ValueError, match=r"rd\.png would be overwritten, an input"):
        run(tmp_path, [codec], pictures=[NamedPicture("rd.png", noise(seed=1), path)])
    assert calls.asked == []


def test_a_run_without_a_row_fails(tmp_path):
    codec, calls = quick()
    calls.failing = codec.qualities
    with pytest.raises(ValueError, match=r"nothing could be coded; a\.png, quick at 10: the enc"):
        run(tmp_path, [codec])


def test_an_unknown_anchor_fails_before_the_work(tmp_path):
    codec, calls = quick()
    with pytest.raises(ValueError, match="the anchor 'png' is not compared; there are quick"):
        run(tmp_path / "out", [codec], anchor="png")
    assert calls.asked == []
    assert not (tmp_path / "out").exists()


def test_files_of_recipes_are_kept_and_shown(tmp_path):
    codec, _ = quick()
    recipe, calls = quick("siren", qualities=(20, 50))
    done, _ = run(tmp_path, [codec], recipes=[recipe])
    kept = {path.name.rsplit("-", 1)[0]: path for path in (tmp_path / "encoded").iterdir()}
    assert sorted(kept) == ["siren-20", "siren-50"]
    assert kept["siren-50"].stat().st_size == done.rows[-1].n_bytes
    page = (tmp_path / "report.html").read_text()
    assert f"a.png, siren at 20: {done.rows[-2].bpp:.4f} bpp" in page  # next to 0.3
    assert page.count("data:image/png") == 2
    kept["siren-20"].unlink()
    calls.asked.clear()
    run(tmp_path, [codec], recipes=[recipe])
    assert calls.asked == []
    assert (
        f"a.png, siren at 50: {done.rows[-1].bpp:.4f} bpp" in (tmp_path / "report.html").read_text()
    )


def test_ms_ssim_is_measured_from_161_pixels_on(tmp_path):
    codec, _ = quick(qualities=(50,))
    small, large = NamedPicture("s", noise(160, 200)), NamedPicture("l", noise(164, 164))
    done, _ = run(tmp_path, [codec], pictures=[small, large])
    assert done.rows[0].ms_ssim is None
    assert 0.5 < done.rows[1].ms_ssim < 1


def test_time_left_by_hand():
    left = TimeLeft(["a", "a", "b", "b"])
    assert left.count("a", 10.0) == "1/4, at least 0:10 left"
    assert left.count("b", 60.0) == "2/4, 1:10 left"
    assert left.count("b", 120.0) == "3/4, 0:10 left"
    assert left.count("a", 30.0) == "4/4, 0:00 left"
