"""Times the kind grid, and what its fixed point costs.

bench_grid.py step      one step of the fit at 256x256 and at 768x512
bench_grid.py exact     PSNR and bytes of the exact decoder against the float model, one short fit
bench_grid.py decode    `inr decode` of a 768x512 file from a cold shell
bench_grid.py scale     pictures of half size drawn at scale 2, against the originals: drawn and
                        then interpolated, or features interpolated and then drawn
bench_grid.py cool-chic one fit of `grid` at lambda 0.001 on the crop of kodim15 of which Cool-chic
                        5.0.1 (hop, 2,000 iterations) made a loss of 1.114e-3, in CPU-seconds
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from timed_commands import ROOT, machine, peak_gb, run_json, wall_seconds

import inr
from inr.format.container import SECTION_LATENTS
from inr.grid.file import read_grid, synthesize_picture
from inr.grid.fit.init import first_networks
from inr.grid.fit.step import (
    Fitting,
    Rounding,
    flatten,
    move_latents,
    move_networks,
    rounded,
    start_latents,
    start_networks,
)
from inr.grid.structure import Pyramid, Structure
from inr.kinds import open_file

PICTURE = ROOT / "assets" / "pictures" / "kodim15.png"
CROP = (200, 100, 456, 356)
_N_STEPS = 12


def bench_step() -> None:
    """Print median and best milliseconds a step, of the latents alone and with the networks."""
    for height, width in ((256, 256), (512, 768)):
        pyramid = Pyramid(height, width, 3, Structure(prior=2))
        picture = np.random.default_rng(0).random((3, height, width), np.float32)
        first = first_networks(pyramid, picture.mean((1, 2)), np.random.default_rng(0))
        fitting = Fitting.of(picture, pyramid, 1e-3, flatten(first, pyramid))
        blank = [np.zeros((level.height, level.width)) for level in pyramid.levels]
        rounding = Rounding(np.float32(0.3), np.float32(0.2), np.bool_(False))
        for with_networks in (False, True):
            networks, latents = start_networks(first, pyramid), start_latents(blank)
            seconds = []
            for step in range(1 + _N_STEPS):
                started_at = time.monotonic()
                grads = fitting.gradients(
                    networks.flat,
                    latents.y,
                    rounding,
                    step,
                    networks_by=slice(step % 2, None, 2) if with_networks else None,
                )
                latents = move_latents(latents, grads.latents, [0.3] * len(blank), pyramid)
                if grads.networks is not None:
                    networks = move_networks(networks, grads.networks, fitting, 2.0, 5e-3)
                    jax.block_until_ready(networks)
                seconds.append(time.monotonic() - started_at)
            best, median = min(seconds[1:]), float(np.median(seconds[1:]))
            what = "all" if with_networks else "latents alone"
            print(f"{width}x{height}, {what}: {1e3 * best:.1f} ms, median {1e3 * median:.1f}")


def encode(folder: Path, picture: Path, *options: str) -> tuple[Path, dict[str, float]]:
    """Return a file that the command line made, and its figures."""
    output = folder / "a.inr"
    return output, run_json("encode", picture, "-o", output, "--recipe", "grid", "-f", *options)


def bench_exact() -> None:
    """Draw a file's own networks and latents, once by the exact decoder, once in float32."""
    with tempfile.TemporaryDirectory() as folder, Image.open(PICTURE) as image:
        image.crop(CROP).save(Path(folder) / "crop.png")
        output, _ = encode(Path(folder), Path(folder) / "crop.png", "--set", "fit.steps=300")
        target = np.asarray(image.crop(CROP), np.float64)
        opened = open_file(output.read_bytes()).content
    coded, latents = read_grid(opened)
    values = coded.values(opened.pyramid)
    samples = target.transpose(2, 0, 1).astype(np.float32) / 255
    flat = flatten(values, opened.pyramid)
    fitting = Fitting.of(samples, opened.pyramid, 1e-3, flat)
    floats = [y.astype(np.float32) for y in latents]
    in_float = fitting.gradients(flat, floats, rounded(), 0).measured
    float_bytes = in_float.bits / 8
    exact_bytes = len(opened.sections[SECTION_LATENTS])
    # Samples of the float picture are neither clipped nor rounded.
    exact_db = -10 * np.log10(np.mean((synthesize_picture(opened) - target) ** 2) / 255**2)
    float_db = -10 * np.log10(in_float.mse)
    print(f"latents: {exact_bytes} bytes, in float {float_bytes:.1f} bytes' worth of bits")
    print(f"PSNR: {exact_db:.4f} dB, in float {float_db:.4f} dB")


def bench_decode() -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ("--set", "fit.steps=60", "--set", "lambda=0.0002")
        output, figures = encode(Path(folder), PICTURE, *options)
        seconds = wall_seconds("decode", output, "-o", Path(folder) / "a.png", "-f", "-q")
    best, median = min(seconds), float(np.median(seconds))
    print(f"decode of 768x512 at {figures['bpp']:.2f} bpp: {best:.2f} s, median {median:.2f}")


def bench_scale() -> None:
    """Draw files of pictures at half size at scale 2, and compare them with the originals."""
    for path in sorted(PICTURE.parent.glob("kodim*.png")):
        with tempfile.TemporaryDirectory() as folder, Image.open(path) as image:
            original = np.asarray(image)
            image.reduce(2).save(Path(folder) / "half.png")
            options = ("--set", "fit.steps=300", "--set", "lambda=0.0004")
            output, figures = encode(Path(folder), Path(folder) / "half.png", *options)
            data = output.read_bytes()
        own_size = Image.fromarray(inr.decode(data))
        resampled = own_size.resize(image.size, Image.Resampling.BICUBIC)
        pixels_db = inr.psnr_db(original, np.asarray(resampled))
        features_db = inr.psnr_db(original, inr.decode(data, scale=2))
        print(
            f"{path.stem}, {figures['psnr_db']:.2f} dB at half size; at scale 2: resampled "
            f"{pixels_db:.3f} dB, features interpolated {features_db:.3f} dB"
        )


def bench_cool_chic() -> None:
    with tempfile.TemporaryDirectory() as folder, Image.open(PICTURE) as image:
        image.crop(CROP).save(Path(folder) / "crop.png")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _, figures = encode(Path(folder), Path(folder) / "crop.png")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    loss = 10 ** (-figures["psnr_db"] / 10) + 1e-3 * figures["bpp"]
    print(
        f"loss {1e3 * loss:.4f}e-3 ({figures['psnr_db']:.2f} dB, {figures['bpp']:.4f} bpp), "
        f"{figures['seconds']:.0f} s, {cpu_seconds:.0f} CPU-s, peak {peak_gb():.2f} GB"
    )


def main() -> None:
    benches = {
        "step": bench_step,
        "exact": bench_exact,
        "decode": bench_decode,
        "scale": bench_scale,
        "cool-chic": bench_cool_chic,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*benches, []], help="default: all")
    print(f"{machine()}; jax {jax.__version__}")
    for name in parser.parse_args().what or benches:
        benches[name]()


if __name__ == "__main__":
    main()
