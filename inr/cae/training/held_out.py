"""Which pictures are in the test sets, so that none of them is trained on.

The identity of a picture is the SHA-256 of b"%d x %d" % (height, width) followed by its pixels, RGB
of 8 bits, row after row. The list test_pictures.txt, made by scripts/hash_test_pictures.py, has a
line for each: identity, height x width, name. It finds whole pictures, flipped and turned ones too,
but neither parts of them nor copies of another size.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from inr.errors import UsageError

Pixels = NDArray[np.uint8]  # [height, width, 3]


@dataclass(frozen=True)
class Listed:
    """A picture of a test set."""

    height: int
    width: int
    name: str


def identity(pixels: Pixels) -> str:
    """Compute the SHA-256 of size and pixels u8 [height, width, 3], in hexadecimal."""
    height, width, _ = pixels.shape
    return hashlib.sha256(b"%d x %d" % (height, width) + pixels.tobytes()).hexdigest()


def read_list() -> dict[str, Listed]:
    """Read the pictures of the list by their identity."""
    text = (
        resources.files("inr.cae.training")
        .joinpath("test_pictures.txt")
        .read_text(encoding="utf-8")
    )
    found = {}
    for line in text.splitlines():
        digest, height, _, width, name = line.split(maxsplit=4)
        found[digest] = Listed(int(height), int(width), name)
    return found


def refuse_if_listed(pixels: Pixels, name: str, known: Mapping[str, Listed]) -> None:
    """Raise UsageError if pixels u8 [height, width, 3] are a listed picture in any orientation."""
    height, width, _ = pixels.shape
    # Eight hashes take longer than decoding: only where one of them could be in the list.
    if not any({height, width} == {entry.height, entry.width} for entry in known.values()):
        return
    for orientation in range(8):
        entry = known.get(identity(orient(pixels, orientation)))
        if entry is not None:
            raise UsageError(
                f"{name} is the test picture {entry.name}, and results on pictures of the training "
                "mean nothing: remove it from the training pictures"
            )


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Turn by 0 to 3 quarters; 4 to 7 turn the mirrored picture."""
    return np.rot90(pixels[:, ::-1] if orientation >= 4 else pixels, orientation % 4)
