"""pictures.py and held_out.py: what is opened and refused, and crops that can be traced back."""

import io
import itertools
import threading
import zipfile
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inr.cae.training import held_out
from inr.cae.training.held_out import Listed, identity, orient, read_list
from inr.cae.training.pictures import Pictures, Source, crops, decode_rgb, open_pictures, prefetch
from inr.errors import ImageError


def no_warning(text):
    raise AssertionError(f"unexpected warning: {text}")


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def in_memory(*arrays):
    """Pictures without files."""
    sources = tuple(Source(f"picture {i}") for i in range(len(arrays)))
    sizes = np.array([a.shape[:2] for a in arrays])
    return Pictures(sources, sizes, arrays, 0, tuple(map(identity, arrays)))


def coordinates(height, width):
    """A picture whose red and green are the row and the column of each pixel."""
    row, col = np.indices((height, width))
    return np.stack([row, col, 0 * row], axis=2).astype(np.uint8)


def test_folders_and_archives_are_opened_in_the_order_of_names(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b.PNG").write_bytes(encoded(noise(2, 3, 1)))
    (tmp_path / "z.webp").write_bytes(encoded(noise(4, 5, 2), "WEBP", lossless=True))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._z.png").write_bytes(b"what macOS leaves beside a file")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("2.png", encoded(noise(6, 7, 3)))
        archive.writestr("1/x.png", encoded(noise(8, 9, 4)))
        archive.writestr("manifest.csv", "no picture")
    found = open_pictures(tmp_path, tmp_path / "some.zip", warn=no_warning)
    assert found.sizes.tolist() == [[2, 3], [4, 5], [8, 9], [6, 7]]
    assert [source.member for source in found.sources] == [None, None, "1/x.png", "2.png"]
    assert str(found.sources[2]) == f"{tmp_path}/some.zip/1/x.png"
    for index, (size, seed) in enumerate([((2, 3), 1), ((4, 5), 2), ((8, 9), 4), ((6, 7), 3)]):
        np.testing.assert_array_equal(found.pixels(index), noise(*size, seed))


def test_pictures_over_the_limit_are_decoded_at_each_use(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", encoded(noise(10, 10, i)))
    (tmp_path / "3.png").write_bytes(encoded(noise(10, 10, 3)))
    paths = (tmp_path / "a.zip", tmp_path)
    found = open_pictures(*paths, warn=no_warning, max_cached_bytes=650)  # 300 bytes each
    assert [pixels is None for pixels in found.decoded] == [False, False, True, True]
    for i in range(4):
        np.testing.assert_array_equal(found.pixels(i), noise(10, 10, i))
    everything = open_pictures(*paths, warn=no_warning)
    np.testing.assert_array_equal(crops(found, 9, 4, 0, 0), crops(everything, 9, 4, 0, 0))
    (tmp_path / "3.png").write_bytes(encoded(noise(9, 10)))
    with pytest.raises(ValueError, match=r"3\.png has changed since it was opened"):
        found.pixels(3)


def test_all_kinds_become_rgb_of_8_bits():
    grey = np.array([[0, 7, 255]], np.uint8)
    assert decode_rgb(encoded(grey), "grey")[0].tolist() == [[0] * 3, [7] * 3, [255] * 3]
    deep = np.array([[128, 129, 65535]], np.uint16)  # 257 is one step of 8 bits
    assert decode_rgb(encoded(deep), "deep")[0, :, 0].tolist() == [0, 1, 255]
    opaque = np.dstack([noise(2, 2), np.full((2, 2), 255, np.uint8)])
    np.testing.assert_array_equal(decode_rgb(encoded(opaque), "opaque"), noise(2, 2))
    assert decode_rgb(encoded(opaque // 2), "see-through") is None
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the top is at the right of the file
    right = decode_rgb(encoded(noise(2, 3), exif=exif), "turned")
    np.testing.assert_array_equal(right, np.rot90(noise(2, 3), -1))


def test_pictures_with_alpha_are_left_out_and_counted(tmp_path):
    (tmp_path / "alpha.png").write_bytes(encoded(np.zeros((2, 2, 4), np.uint8)))
    with pytest.raises(ValueError, match="left out 1 with alpha"):
        open_pictures(tmp_path, warn=no_warning)
    (tmp_path / "plain.png").write_bytes(encoded(noise(2, 2)))
    told = []
    found = open_pictures(tmp_path, warn=told.append)
    assert (len(found.sources), found.n_with_alpha) == (1, 1)
    assert told == ["1 pictures with alpha are left out; 1 are used"]


def test_what_cannot_be_opened_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"no pictures in .*looked for \*\.avif .*\*\.webp"):
        open_pictures(tmp_path, warn=no_warning)
    with pytest.raises(ValueError, match="no pictures in no path"):
        open_pictures(warn=no_warning)
    with pytest.raises(ValueError, match=r"absent is neither a folder nor a \.zip archive"):
        open_pictures(tmp_path / "absent", warn=no_warning)
    with pytest.raises(ValueError, match="max_cached_bytes=-1 is negative"):
        open_pictures(tmp_path, warn=no_warning, max_cached_bytes=-1)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.png: not a picture that can be read"):
        open_pictures(tmp_path, warn=no_warning)
    bad.write_bytes(encoded(noise(20, 20))[:-200])
    with pytest.raises(ImageError, match=r"bad\.png: .*damaged"):
        open_pictures(tmp_path, warn=no_warning)


def test_a_damaged_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", b"")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.rfind(b"PK\x01\x02")] ^= 1  # of the list of members, not of the end
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.zip: a damaged \.zip archive"):
        open_pictures(tmp_path / "a.zip", warn=no_warning)


def test_identity_is_the_hash_of_size_and_pixels():
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert identity(pixels) == sha256(b"1 x 2\x00\x01\x02\x03\x04\x05").hexdigest()
    assert identity(pixels) != identity(pixels.reshape(2, 1, 3))


def test_the_eight_orientations_of_a_hand_worked_picture():
    pixels = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None]
    drawn = {tuple(map(tuple, orient(pixels, turn)[..., 0].tolist())) for turn in range(8)}
    assert drawn == {
        *(((1, 2, 3), (4, 5, 6)), ((6, 5, 4), (3, 2, 1))),  # upright, upside down
        *(((3, 2, 1), (6, 5, 4)), ((4, 5, 6), (1, 2, 3))),  # mirrored
        *(((3, 6), (2, 5), (1, 4)), ((4, 1), (5, 2), (6, 3))),  # turned
        *(((1, 4), (2, 5), (3, 6)), ((6, 3), (5, 2), (4, 1))),  # both
    }


@pytest.mark.parametrize("turn", range(8))
def test_test_pictures_are_refused_in_every_orientation(tmp_path, turn):
    secret = noise(4, 6)
    held_out = {identity(secret): Listed(4, 6, "secret.png")}
    (tmp_path / "innocent.png").write_bytes(encoded(noise(4, 6, 1)))
    found = open_pictures(tmp_path, warn=no_warning, held_out=held_out)
    assert found.sizes.tolist() == [[4, 6]]
    (tmp_path / "other.png").write_bytes(encoded(np.ascontiguousarray(orient(secret, turn))))
    with pytest.raises(ValueError, match=r"other\.png is the test picture secret\.png"):
        open_pictures(tmp_path, warn=no_warning, held_out=held_out)


def test_the_pictures_of_the_project_are_listed(tmp_path):
    known = read_list()
    assert {f"kodim{i:02}.png" for i in (3, 5, 8, 13, 15, 19, 20, 23)} <= {
        entry.name for entry in known.values()
    }
    from conftest import ROOT

    assets = sorted((ROOT / "assets" / "pictures").glob("*.png"))
    assert len(assets) >= 7
    for path in assets:
        pixels = decode_rgb(path.read_bytes(), path.name)
        with pytest.raises(ValueError, match=path.stem):
            held_out.refuse_if_listed(pixels, path.name, known)


def test_crops_depend_on_seed_and_step_only():
    pictures = in_memory(noise(30, 40), noise(50, 20, 1))
    first = crops(pictures, 6, 16, 3, 5)
    assert (first.shape, first.dtype) == ((6, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(first, crops(pictures, 6, 16, 3, 5))
    for seed, step in ((3, 6), (5, 3)):
        assert (first != crops(pictures, 6, 16, seed, step)).any()


@given(st.integers(8, 40), st.integers(8, 40), st.integers(1, 8), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_every_crop_is_a_part_of_the_picture(height, width, side, seed):
    # Coordinates are linear, so scaling keeps them so but near the edges, where Lanczos bends them:
    # steps from pixel to pixel are 1 to 2, along one axis for each of row and column.
    for crop in crops(in_memory(coordinates(height, width)), 4, side, seed, 0):
        assert crop[..., 0].max() < height
        assert crop[..., 1].max() < width
        rows, cols = crop[..., 0].astype(int), crop[..., 1].astype(int)
        if abs(np.diff(rows, axis=1)).max(initial=0) > 0:
            rows, cols = rows.T, cols.T  # a quarter turn
        assert abs(np.diff(rows, axis=1)).max(initial=0) == 0
        assert abs(np.diff(cols, axis=0)).max(initial=0) == 0
        for steps in (np.diff(rows, axis=0), np.diff(cols, axis=1)):
            assert len(set(np.sign(steps).ravel())) <= 1
            assert abs(steps).max(initial=0) <= 3


def test_half_of_the_crops_are_scaled_down_by_up_to_two():
    drawn = crops(in_memory(coordinates(200, 200)), 2000, 16, 0, 0).astype(int)
    spans = np.ptp(drawn[..., 0], axis=(1, 2)) + 1  # rows of the picture that a crop covers
    assert spans.min() == 16
    assert 31 <= spans.max() <= 32
    # 3.3 sigma of 2000 draws, and a pixel of rounding, 1/32, where factors begin and end
    np.testing.assert_allclose((spans == 16).mean(), 0.5, atol=0.037 + 1 / 32)
    np.testing.assert_allclose((spans > 24).mean(), 0.25, atol=0.032 + 1 / 32)


def test_crops_of_a_picture_of_their_own_size_are_its_eight_orientations():
    picture = noise(5, 5)
    drawn = {crop.tobytes() for crop in crops(in_memory(picture), 100, 5, 0, 0)}
    assert drawn == {orient(picture, turn).tobytes() for turn in range(8)}


def test_pictures_are_chosen_by_their_pixels_up_to_a_limit():
    # One picture with nothing but its number in it; pixels that count: 0, 2**20, 2**20, 2**19.
    sizes = ((3, 1000), (1024, 1024), (1024, 4096), (512, 1024))
    numbered = (np.full((*size, 3), i, np.uint8) for i, size in enumerate(sizes))
    drawn = crops(in_memory(*numbered), 4000, 4, 0, 0)
    counts = np.bincount(drawn[:, 0, 0, 0], minlength=4)
    np.testing.assert_allclose(counts / 4000, [0, 0.4, 0.4, 0.2], atol=0.03)  # 3.8 sigma
    assert counts[0] == 0  # smaller than a crop


def test_crops_that_cannot_be_cut_are_refused():
    with pytest.raises(ValueError, match=r"side=9: none of the 2 .* the largest has 8 pixels"):
        crops(in_memory(noise(8, 20), noise(7, 7)), 1, 9, 0, 0)
    with pytest.raises(ValueError, match="n=0, side=4, seed=0, step=-1"):
        crops(in_memory(noise(8, 8)), 0, 4, 0, -1)


def test_prefetched_gives_every_step_in_order_from_one_other_thread():
    threads = set()

    def make(step):
        threads.add(threading.current_thread())
        return step * step

    with prefetch(make, range(4)) as results:
        assert list(results) == [0, 1, 4, 9]
    (thread,) = threads
    assert thread is not threading.main_thread()
    assert not thread.is_alive()
    with prefetch(make, ()) as results:
        assert list(results) == []


def test_prefetched_works_ahead_while_a_result_is_used():
    made_next = threading.Event()

    def make(step):
        if step == 1:
            made_next.set()
        return step

    with prefetch(make, itertools.count()) as results:  # endless, and left early
        assert next(results) == 0
        assert made_next.wait(timeout=5)


def test_prefetched_raises_where_the_result_would_have_come():
    with prefetch(lambda step: 6 // (2 - step), range(5)) as results:
        assert next(results) == 3
        assert next(results) == 6
        with pytest.raises(ZeroDivisionError):
            next(results)
