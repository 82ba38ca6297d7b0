"""Times the kind cae with the weights that come with the package, in whole commands.

bench_cae.py times    encode and decode of 768x512 from a cold shell
bench_cae.py targets  the same with --target-bpp and --target-psnr, and how near they end
bench_cae.py large    encode and decode of 6000x4000, and the memory they take
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from timed_commands import ROOT, machine, peak_gb, run_json, wall_seconds

PICTURE = ROOT / "assets" / "pictures" / "kodim15.png"
_LARGE = (6000, 4000)


def encode(picture: Path, output: Path, *options: str) -> tuple[str | Path, ...]:
    """Return the arguments of the command."""
    return "encode", picture, "-o", output, "-f", "--recipe", "cae", *options


def both_ways(picture: Path, folder: Path) -> dict[str, tuple[str | Path, ...]]:
    """Return the arguments of encode and of decode, in the order in which they are to run."""
    output = folder / "a.inr"
    return {
        "encode": encode(picture, output, "-q"),
        "decode": ("decode", output, "-o", folder / "a.png", "-f", "-q"),
    }


def bench_times(folder: Path) -> None:
    for name, command in both_ways(PICTURE, folder).items():
        seconds = wall_seconds(*command)
        print(f"{name} 768x512: {min(seconds):.2f} s, median {np.median(seconds):.2f}")


def bench_targets(folder: Path) -> None:
    for target in (("--target-bpp", "0.4"), ("--target-psnr", "33")):
        started_at = time.monotonic()
        figures = run_json(*encode(PICTURE, folder / "a.inr", *target))
        seconds = time.monotonic() - started_at
        print(
            f"{' '.join(target)}: {figures['bpp']:.4f} bpp, "
            f"{figures['psnr_db']:.2f} dB, {seconds:.1f} s"
        )


def bench_large(folder: Path) -> None:
    """Time kodim15 and its mirror images side by side: there are no edges where they meet."""
    with Image.open(PICTURE) as image:
        tile = np.asarray(image.convert("RGB"))
    width, height = _LARGE
    rows, columns = tile.shape[0], tile.shape[1]
    repeats = ((0, -(-height // rows) * rows - rows), (0, -(-width // columns) * columns - columns))
    pixels = np.pad(tile, (*repeats, (0, 0)), "symmetric")[:height, :width]
    Image.fromarray(pixels).save(folder / "large.png")
    for name, command in both_ways(folder / "large.png", folder).items():
        (seconds,) = wall_seconds(*command, n=1)
        print(f"{name} {width}x{height}: {seconds:.1f} s, peak {peak_gb():.2f} GB so far")


def main() -> None:
    benches = {"times": bench_times, "targets": bench_targets, "large": bench_large}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*benches, []], help="default: all")
    given = parser.parse_args().what or benches
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        for name in given:
            benches[name](Path(folder))


if __name__ == "__main__":
    main()
