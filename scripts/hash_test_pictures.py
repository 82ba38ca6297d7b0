"""Adds pictures to the list of those that are never trained on, inr/cae/training/test_pictures.txt.

    python scripts/hash_test_pictures.py FILE...

A line for each: identity (see inr/cae/training/held_out.py), height x width, name of the file.
Lines that exist stay, pictures that are listed under another name are not listed twice.

The list lacks 16 pictures of the Kodak suite (kodim01, 02, 04, 06, 07, 09 to 12, 14, 16 to 18, 21,
22 and 24). To add them, fetch the 24 PNG files from http://r0k.us/graphics/kodak/ and run this
script on all of them.
"""

import sys
from pathlib import Path

from inr.cae.training.held_out import Listed, identity, read_list
from inr.cae.training.pictures import decode_rgb

LIST = Path(__file__).resolve().parent.parent / "inr" / "cae" / "training" / "test_pictures.txt"


def main(paths: list[Path]) -> None:
    known = read_list()
    for path in paths:
        pixels = decode_rgb(path.read_bytes(), str(path))
        if pixels is None:
            raise SystemExit(f"error: {path} has alpha, training never uses such pictures")
        height, width, _ = pixels.shape
        known.setdefault(identity(pixels), Listed(height, width, path.name))
    entries = sorted(known.items(), key=lambda item: item[1].name)
    lines = [f"{digest} {e.height} x {e.width} {e.name}\n" for digest, e in entries]
    LIST.write_text("".join(lines), encoding="utf-8")
    print(f"{LIST}: {len(lines)} pictures")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main([Path(argument) for argument in sys.argv[1:]])
