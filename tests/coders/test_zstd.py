"""Zstd: its frame, and frames that lie. The rest is in contracts/test_coder.py."""

import numpy as np
import pytest
import zstandard

from inr.coders.zstd import Zstd, pack_frame, unpack_frame
from inr.errors import FormatError

NO_ZEROS = bytes([0, 0, 0])  # the head of a dense layout without codes other than 0


def test_bytes_of_a_few_codes():
    data = Zstd().encode([np.array([1, -2, 0, 3], np.int32)])
    # dense, 3 codes, none wide; frame of the smallest window; one last block of 5 bytes, stored
    assert data.hex(" ") == "00 03 00 28 b5 2f fd 00 00 29 00 00 01 02 00 03 40"


@pytest.mark.parametrize("blocks", [[], [b"abc"], [bytes(5000), bytes(range(256)) * 9, b"x"]])
def test_a_frame_of_blocks_is_their_row(blocks):
    row = b"".join(blocks)
    assert unpack_frame(pack_frame(blocks, 19), len(row)) == row


def test_blocks_have_tables_of_their_own():
    rng = np.random.default_rng(0)
    narrow = np.minimum(rng.geometric(0.5, 4000), 255).astype(np.uint8)
    broad = np.minimum(rng.geometric(0.1, 4000), 255).astype(np.uint8)
    blocks = [narrow.tobytes(), (255 - broad).tobytes()]
    assert len(pack_frame(blocks, 19)) < 0.9 * len(pack_frame([b"".join(blocks)], 19))


@pytest.mark.parametrize("level", [0, 23])
def test_levels_out_of_range(level):
    with pytest.raises(ValueError, match=rf"level={level} is outside 1\.\.22"):
        Zstd(level=level)


def test_a_bomb_is_refused_before_it_unpacks():
    stated = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="states a content size"):
        Zstd().decode(NO_ZEROS + stated, [5])
    unstated = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10_000_000))
    with pytest.raises(FormatError, match="window"):
        Zstd().decode(NO_ZEROS + unstated, [5])
    narrow = pack_frame([bytes(2000)], 19)
    with pytest.raises(FormatError, match="zstd: "):
        Zstd().decode(NO_ZEROS + narrow, [1500])


def test_a_frame_that_is_too_short():
    with pytest.raises(FormatError, match="zstd: 4 bytes unpacked, 5 expected"):
        Zstd().decode(NO_ZEROS + pack_frame([bytes(4)], 19), [5])
