"""alpha.py: the channel comes back as it was, and nothing else is read."""

import tracemalloc

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings

from inr.cae.alpha import decode_alpha, encode_alpha
from inr.coders.zstd import pack_frame, unpack_frame
from inr.errors import FormatError


def test_the_section_of_a_hand_worked_plane():
    alpha = np.array([[1, 2], [4, 6]], np.uint8)
    # 1, 2 - 1, 4 - 1, and 6 - (2 + 4 - 1)
    assert unpack_frame(encode_alpha(alpha), 4) == bytes([1, 1, 3, 1])
    wrapped = np.array([[255, 0, 2]], np.uint8)
    assert unpack_frame(encode_alpha(wrapped), 3) == bytes([255, 1, 2])


@settings(deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_plane_comes_back(alpha):
    made = decode_alpha(encode_alpha(alpha), *alpha.shape)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, alpha)


def test_ramps_and_opaque_planes_take_a_few_bytes():
    assert len(encode_alpha(np.full((500, 400), 255, np.uint8))) < 40
    y, x = np.ogrid[:200, :200]
    assert len(encode_alpha((y // 2 + x // 2).astype(np.uint8))) < 400


GOOD = encode_alpha(np.arange(35, dtype=np.uint8).reshape(5, 7) ** 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a frame",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD + GOOD,
        pack_frame([bytes(34)], 3),
        pack_frame([bytes(36)], 3),
        pack_frame([bytes(1 << 20)], 3),
        zstandard.ZstdCompressor().compress(bytes(35)),  # states its size
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(FormatError, match="the alpha channel is damaged: zstd"):
        decode_alpha(data, 5, 7)


def test_every_truncation_is_refused():
    for n in range(len(GOOD)):
        with pytest.raises(FormatError):
            decode_alpha(GOOD[:n], 5, 7)


def test_a_window_of_128_mb_takes_no_memory():
    settings = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    frame = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    data = frame.compress(bytes(35)) + frame.flush()
    tracemalloc.start()
    with pytest.raises(FormatError, match="window of 134217728 bytes, at most 1024 expected"):
        decode_alpha(data, 5, 7)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6
