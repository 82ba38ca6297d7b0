"""Makes golden files: small files of all that the format has, which every version must decode.

Run it when the format has something new; what is there already is never made again, and never
removed. Those named grid_*, of priors 0 and 1, were made by encoders that are gone. Beside each
.inr lie the pixels it decoded to (.npy) and the SHA-256 of its integer codes.

Usage: scripts/make_golden.py [FOLDER]   (tests/golden/v1 if not given)
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import inr

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from helpers.golden import codes_sha256  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "v1"
MODES = ("grey", "grey_alpha", "rgb", "rgba")  # by the number of channels
SIREN = "--recipe siren --set fit.steps=60 --target-bytes 700"
# Each with the set of networks that its name tells.
GRID2, GRID3, GRID4 = (
    f"--recipe {name} --set fit.steps=12 --set structure.prior={prior} --set screen_prior=0"
    for name, prior in (("grid_fast", 2), ("grid", 3), ("grid", 4))
)
INSTANT = "--recipe grid_instant --set screen_prior=0"  # with set 5
CAE = "--recipe cae"


def picture(n_channels: int, bit_depth: int = 8) -> inr.Picture:
    """Return a picture of 32x48 pixels: a part of a photograph with 8 bits, ramps with 16."""
    if bit_depth == 8:
        with Image.open(ROOT / "assets" / "pictures" / "kodim23.png") as image:
            rgb = np.asarray(image.resize((48, 32), Image.Resampling.BOX))
    else:
        rows, cols = np.arange(32)[:, None], np.arange(48)
        planes = (rows * 900 + cols * 700, rows * 1500 + cols * 0, 65535 - rows * cols * 43)
        rgb = np.stack(planes, axis=2).astype(np.uint16)
    colours = rgb[..., 1:2] if n_channels < 3 else rgb
    peak = (1 << bit_depth) - 1
    alpha = np.broadcast_to(np.linspace(0, peak, 48).astype(rgb.dtype)[:, None], (32, 48, 1))
    pixels = colours if n_channels in (1, 3) else np.concatenate([colours, alpha], axis=2)
    return inr.Picture(np.ascontiguousarray(pixels))


def cases() -> dict[str, Callable[[], bytes]]:
    """Return what makes each golden file, by its name."""
    found: dict[str, Callable[[], bytes]] = {}

    def add(name: str, options: str, n_channels: int = 3, bit_depth: int = 8) -> None:
        found[name] = lambda: encode(picture(n_channels, bit_depth), options.split())

    def sets(*settings: str) -> str:
        return " ".join(f"--set {setting}" for setting in settings)

    for n_channels, mode in enumerate(MODES, 1):
        for bit_depth in (8, 16):
            add(f"siren_{mode}{bit_depth}", SIREN, n_channels, bit_depth)
            add(f"grid2_{mode}{bit_depth}", GRID2, n_channels, bit_depth)
        add(f"cae_{mode}8", CAE, n_channels)
    for coder in ("huffman", "zstd", "deflate", "lzma"):
        add(f"siren_{coder}", f"{SIREN} {sets(f'coder={coder}')}")
    for quantizer in ("kmeans", "distribution", "float16"):
        add(f"siren_{quantizer}", f"{SIREN} {sets(f'quantize={quantizer}')}")
    for sparsifier in ("rigl", "feathermap"):
        add(f"siren_{sparsifier}", f"{SIREN} {sets(f'sparsify={sparsifier}')}")
    add("siren_rigl_zstd", f"{SIREN} {sets('sparsify=rigl', 'coder=zstd')}")
    add("fourier_rgba8", SIREN.replace("siren", "fourier"), 4)
    add("siren_wavelet_rgb8", f"{SIREN} {sets('split=wavelet')}")
    levels = sets("split=wavelet", "split.levels=3", "split.wavelet=db2")
    add("siren_wavelet_grey16", f"{SIREN} {levels}", 1, 16)
    add("grid2_instant", f"{INSTANT} {sets('structure.prior=2')}")
    add("grid2_fine", f"{GRID2} {sets('lambda=0.0001')}")
    add("grid2_coarse", f"{GRID2} {sets('lambda=0.02')}", 1)
    add("grid2_first_level", f"{GRID2} {sets('structure.first_level=2')}")
    add("grid2_small", f"{GRID2} {sets('structure.hidden=4', 'structure.n_taps=6')}")
    for n_channels, mode in enumerate(MODES, 1):
        add(f"grid3_{mode}8", GRID3, n_channels)
    add("grid3_rgb16", GRID3, 3, 16)
    add("grid3_fine", f"{GRID3} {sets('lambda=0.0001')}")
    add("grid3_coarse", f"{GRID3} {sets('lambda=0.02', 'structure.n_hyper=1')}")
    for n_channels, mode in enumerate(MODES, 1):
        add(f"grid4_{mode}8", GRID4, n_channels)
    add("grid4_instant", f"{INSTANT} {sets('structure.prior=4')}")
    add("grid4_fine", f"{GRID4} {sets('lambda=0.0001')}")
    add("grid4_coarse", f"{GRID4} {sets('lambda=0.02', 'structure.first_level=1')}")
    for n_channels, mode in ((1, "grey"), (3, "rgb")):
        for bit_depth in (8, 16):
            add(f"grid5_{mode}{bit_depth}", INSTANT, n_channels, bit_depth)
    add("grid5_fitted", f"{GRID2} {sets('structure.prior=5')}", 4)
    add("grid5_fine", f"{INSTANT} {sets('lambda=0.0001')}")
    add("grid5_coarse", f"{INSTANT} {sets('lambda=0.02', 'structure.n_hyper=1')}")
    add("cae_factorized", f"{CAE} {sets('model=factorized')}")
    add("cae_fine", f"{CAE} {sets('lambda=0.0003')}")
    flat = inr.Picture(np.full((5, 7, 3), (1, 2, 3), np.uint8), b"not a real profile")
    found["one_colour_icc"] = lambda: encode_with_profile(flat)
    found["cae_icc"] = lambda: encode_with_profile(
        inr.Picture(picture(3).pixels, b"not a real profile")
    )
    return found


def encode(made: inr.Picture, options: list[str]) -> bytes:
    """Return the file that `inr encode` makes of a picture."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "picture.png", Path(folder) / "picture.inr"
        inr.write_picture(made, source)
        command = [sys.executable, "-m", "inr", "encode", str(source), "-o", str(output), "-q"]
        subprocess.run([*command, *options], check=True)
        return output.read_bytes()


def encode_with_profile(made: inr.Picture) -> bytes:
    """Return the file of a picture whose profile no PNG would hold."""
    return inr.encode_picture(made, inr.recipes.cae(), inr.EncodeOptions()).data


def write_golden(folder: Path, files: Mapping[str, Callable[[], bytes]]) -> list[str]:
    """Write golden files that are not there yet.

    Args:
      folder: of one version of the format.
      files: what makes each, by name.
    Returns:
      The names of those that are there already; they stay as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for name, make in files.items():
        path = folder / f"{name}.inr"
        if path.exists():
            kept.append(name)
            continue
        data = make()
        np.save(path.with_suffix(".npy"), inr.decode_picture(data).pixels)
        path.with_suffix(".sha256").write_text(codes_sha256(data) + "\n")
        path.write_bytes(data)
        print(f"{path.name}: {len(data)} bytes", flush=True)
    return kept


def main() -> None:
    """Write what is not there yet; exit with 1 where nothing was new."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    files = cases()
    kept = write_golden(folder, files)
    for name in kept:
        print(f"{name}.inr exists and is not overwritten", file=sys.stderr)
    if len(kept) == len(files):
        sys.exit("error: all golden files are there; they are never made again")


if __name__ == "__main__":
    main()
