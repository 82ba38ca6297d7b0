"""Times the loops whose speed experiments/README.md states; ratios are taken within one run.

bench.py sine       one training step with our sine and with jnp.sin, in turn
bench.py decode     `inr info` and `inr decode` from a cold shell
bench.py quantizer  one network at 16, 8 and 6 bits a weight
bench.py batch      eight like fits in one vmapped batch and one after the other
bench.py cache      short encodings with an empty folder of compiled programs, and once more
bench.py gpu        10,000 full-batch steps of the classic network on 512x512, and a plain
                    matrix product for comparison (needs a GPU)
"""

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from timed_commands import ROOT, machine, run_json, wall_seconds

from inr.fitting.loop import Block
from inr.mlp.fields.joint import FieldPart, FieldSet
from inr.mlp.fields.protocol import Params, n_weights
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.optimizers import Adam
from inr.mlp.fit.problem import Budget, FitProblem, Signal
from inr.mlp.fit.program import NOISE, MlpProgram
from inr.mlp.fit.settings import FitSettings
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.dense import Dense

PICTURE = ROOT / "assets/pictures/kodim15.png"


def program_of(net: Siren, height: int, width: int, settings: FitSettings) -> MlpProgram:
    """Make the program of a fit of noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height * width, 3), dtype=np.uint8)
    signal = Signal(pixels, height, width, ((0, 255),) * 3, peak=255.0)
    n_bits = 7.0 * n_weights(net.shapes(3))
    budget = Budget(n_bits, height * width, None, lambda codes, levels: b"")
    job = FitProblem(FieldSet((FieldPart(net, 3),)), (signal,), Uniform(), Dense(), budget, seed=0)
    return MlpProgram([job], settings)


class Runner:
    """Runs blocks under noise, one after the other."""

    def __init__(self, program: MlpProgram, block_length: int) -> None:
        self.program, self.state = program, program.start(1.0)
        self.length, self.step = block_length, 0
        self.advance()  # compiles

    def advance(self) -> float:
        """Runs a block; returns the seconds of a step."""
        begin, n = self.step / self.program.n_steps, self.length
        end = (self.step + n) / self.program.n_steps
        block = Block(NOISE, self.step, n, n, begin, end, ends_phase=False)
        started_at = time.monotonic()
        self.state, _ = self.program.run_block(self.state, block)  # waits for the errors
        self.step += n
        return (time.monotonic() - started_at) / n


@dataclass(frozen=True)
class SirenOfJnpSin(Siren):
    """The same field with XLA's sine; a class of its own, so that jit keeps both."""

    def apply(self, params: Params, coords: jax.Array) -> jax.Array:
        with mock.patch("inr.mlp.fields.sine.sine", jnp.sin):  # while the step is traced
            return super().apply(params, coords)


def bench_sine() -> None:
    """Time one Adam step of a 17,027-weight SIREN, batch 16,384, both sines in turn."""
    settings = FitSettings(steps=10**6, batch=16384, optimizer=Adam())
    fields = {"polynomial sine": Siren(64, n_layers=5), "jnp.sin": SirenOfJnpSin(64, n_layers=5)}
    runs = {}
    for name, field in fields.items():
        runs[name] = Runner(program_of(field, 512, 768, settings), block_length=10)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(20):
        for name, runner in runs.items():
            seconds[name].append(runner.advance())
    # The best of many: neighbours on a shared machine slow either loop at random.
    for name, values in seconds.items():
        best, median = 1e3 * min(values), 1e3 * statistics.median(values)
        print(f"{name:16s} {best:7.2f} ms a step at best, {median:.2f} in the median")
    ratio = min(seconds["jnp.sin"]) / min(seconds["polynomial sine"])
    print(f"ratio            {ratio:7.2f}")


def bench_quantizer() -> None:
    """Print the PSNR of one network at several bits a code; 16 bits stand for float."""
    with tempfile.TemporaryDirectory() as folder:
        for bits in (16, 8, 6):
            result = run_json(
                *("encode", ROOT / "assets/pictures/kodim23.png", "-f"),
                *("-o", Path(folder) / "a.inr", "--set", f"quantize.bits={bits}"),
                *("--set", "field.hidden=58", "--set", "fit.steps=1500"),
            )
            print(f"{bits:2d} bits   {result['psnr_db']:.2f} dB at {result['bpp']:.3f} bpp")


def bench_decode() -> None:
    """Time whole commands on a 768x512 file."""
    with tempfile.TemporaryDirectory() as folder:
        coded = Path(folder) / "picture.inr"
        picture = PICTURE
        run_json("encode", picture, "-o", coded, "--set", "fit.steps=20")
        decoded = coded.with_suffix(".png")
        for command in (("info", coded, "--json"), ("decode", coded, "-o", decoded, "-f", "-q")):
            seconds = wall_seconds(*command)
            print(f"inr {command[0]:8s} {min(seconds):.2f} s at best, {max(seconds):.2f} at worst")


def bench_batch() -> None:
    """Time eight seeds of `siren` on a 256x256 crop, 600 steps: as a batch, then one by one in a
    process, where the single fits share one compilation too, and two of them as commands."""
    settings = ("--recipe", "siren", "--set", "fit.steps=600")
    seeds = [argument for seed in range(8) for argument in ("--seed", str(seed))]
    with tempfile.TemporaryDirectory() as name, Image.open(PICTURE) as image:
        folder = Path(name)
        crop = folder / "crop.png"
        image.convert("RGB").crop((200, 100, 456, 356)).save(crop)
        seconds = {}
        for title, n in (("a batch of 8", "8"), ("8 fits in one process", "1")):
            output = folder / f"by_{n}"
            sweep = ("sweep", crop, "-o", output, *settings, *seeds, "--batch", n)
            (seconds[title],) = wall_seconds(*sweep, "-q", n=1)
            with open(output / "runs.csv", newline="") as file:
                psnrs = [float(row["psnr_db"]) for row in csv.DictReader(file)]
            print(f"mean PSNR of {title}: {statistics.mean(psnrs):.2f} dB")
        command = ("encode", crop, "-f", "-q", *settings)
        two = [wall_seconds(*command, "--seed", seed, n=1)[0] for seed in "01"]
        seconds["8 commands, from 2"] = 4 * sum(two)
    for title, value in seconds.items():
        share = value / seconds["a batch of 8"]
        print(f"{title:22s} {value:7.1f} s, {share:.2f} of the batch")


def bench_gpu() -> None:
    """Time the classic network: SIREN, 8 layers, 128 hidden, 99,843 weights."""
    if jax.default_backend() != "gpu":
        sys.exit("error: bench gpu needs a GPU and inr[cuda]; jax sees none here")
    net = Siren(hidden=128, n_layers=7, first_omega_0=50.0)
    n_steps, n_pixels = 10_000, 512 * 512
    settings = FitSettings(steps=n_steps, optimizer=Adam(3e-4), rounding=0.01)
    program = program_of(net, 512, 512, settings)
    runner = Runner(program, program.block_length)
    started_at, n_before = time.monotonic(), runner.step
    while runner.step + runner.length < 0.99 * n_steps:
        runner.advance()
    seconds = (time.monotonic() - started_at) * n_steps / (runner.step - n_before)
    flop = 6 * n_weights(net.shapes(3)) * n_pixels * n_steps
    print(
        f"{n_steps} full-batch steps of {n_weights(net.shapes(3))} weights: {seconds:.1f} s, "
        f"{flop / seconds / 1e12:.1f} TFLOP/s"
    )
    a = jnp.ones((8192, 8192), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    started_at = time.monotonic()
    for _ in range(10):
        a = product(a) / 8192
    a.block_until_ready()
    seconds = (time.monotonic() - started_at) / 10
    print(f"plain 8192 x 8192 matrix product: {2 * 8192**3 / seconds / 1e12:.1f} TFLOP/s")


def bench_cache() -> None:
    """Time the first and the second encoding of a 256x256 picture in processes of their own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Image.open(PICTURE) as image:
            image.crop((200, 100, 456, 356)).save(folder / "a.png")
        for recipe in ("siren", "grid_fast"):
            options = ("--recipe", recipe, "--set", "fit.steps=20", "-q", "-f")
            command = ("encode", folder / "a.png", "-o", folder / "a.inr", *options)
            with mock.patch.dict(os.environ, INR_CACHE=str(folder / recipe)):
                first, second = wall_seconds(*command, n=2)
            print(f"{recipe}, 20 steps: {first:.1f} s, the second time {second:.1f} s")


def main() -> None:
    benches = {
        "sine": bench_sine,
        "decode": bench_decode,
        "quantizer": bench_quantizer,
        "batch": bench_batch,
        "cache": bench_cache,
        "gpu": bench_gpu,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*benches, []], help="default: sine decode")
    what = parser.parse_args().what or ["sine", "decode"]
    print(f"{machine()}; jax {jax.__version__}")
    for name in what:
        benches[name]()


if __name__ == "__main__":
    main()
