"""The command line. Each command imports what it needs itself: `inr info` must not wait for jax."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inr import cli_cae, cli_studies
from inr.cli_output import (
    Force,
    Json,
    MaxPixels,
    Output,
    Quiet,
    assignments,
    check_output,
    fail,
    finite,
    kind_of,
    lines_of,
    numbers_of,
    of_file,
    print_result,
    warner,
)
from inr.container import DEFAULT_MAX_PIXELS
from inr.errors import UsageError

app = typer.Typer(
    help="Stores a picture as a small function fitted to it, and draws it again at any size.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def encode(
    picture: Annotated[Path, typer.Argument(metavar="IN", help="Picture that Pillow opens.")],
    output: Output = None,
    recipe: Annotated[str, typer.Option(help="One of `inr recipes`.")] = "siren",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, as in fit.steps=500."),
    ] = None,
    target_bpp: Annotated[
        float | None, typer.Option(metavar="X", help="At most so many bits a pixel.")
    ] = None,
    target_bytes: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many bytes.")
    ] = None,
    target_psnr: Annotated[
        float | None, typer.Option(metavar="DB", help="This quality, in as few bytes as found.")
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(metavar="S", help="End the fit after so many seconds.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the fit here, and go on from it after a kill."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit a picture and write it as an .inr file (IN with the suffix .inr unless -o is given)."""
    from inr import recipes
    from inr.codec import Wish, encode_picture
    from inr.files import write_whole
    from inr.metrics import bpp
    from inr.settings import with_settings

    chosen = recipes.named(recipe)
    chosen = with_settings(chosen, assignments(settings or []))
    wish = Wish(target_bpp, target_bytes, target_psnr, seed, time_budget, checkpoint)
    output = output if output is not None else picture.with_suffix(".inr")
    check_output(output, force, inputs=[picture])
    if checkpoint is not None:
        check_output(checkpoint, force=True, inputs=[picture, output])
    from inr.image import load
    from inr.progress import progress_bar

    loaded = load(picture, max_pixels=max_pixels, warn=warner(quiet))
    with progress_bar(show=not quiet and sys.stderr.isatty()) as report:
        encoded = encode_picture(loaded, chosen, wish, report=report)
    with write_whole(output, overwrite=force) as file:
        file.write(encoded.data)
    if checkpoint is not None and encoded.n_steps > 0:  # without a fit nobody has looked at it
        checkpoint.unlink(missing_ok=True)
    n_bytes = len(encoded.data)
    result = {
        "output": str(output),
        "n_bytes": n_bytes,
        "bpp": bpp(n_bytes, loaded.height, loaded.width),
        "psnr_db": finite(encoded.psnr_db),
        "recipe": chosen.name,
        "steps": encoded.n_steps,
        "seconds": round(encoded.seconds, 3),
    }
    print_result(
        result,
        f"{output}: {n_bytes} bytes, {result['bpp']:.4f} bpp, {encoded.psnr_db:.2f} dB, "
        f"{encoded.n_steps} steps in {encoded.seconds:.1f} s",
        as_json,
        quiet,
    )


@app.command()
def decode(
    file: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    output: Output = None,
    scale: Annotated[
        float | None, typer.Option(metavar="S", help="Factor on both sides, as in 2 or 0.5.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Draw this many pixels.")] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Draw only this part of the scaled picture."),
    ] = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Draw the picture of an .inr file (IN with the suffix .decoded.png unless -o is given)."""
    from inr.codec import View, decode_picture
    from inr.files import write_whole
    from inr.image_save import check_savable, save

    output = output if output is not None else file.with_suffix(".decoded.png")
    check_output(output, force, inputs=[file])
    view = View(
        scale,
        None if size is None else numbers_of(size, "x", 2, "--size", "768x512"),
        None if region is None else numbers_of(region, ",", 4, "--region", "0,0,64,64"),
        max_pixels,
    )
    drawn = of_file(decode_picture, file, view)
    check_savable(drawn, output.suffix)
    with write_whole(output, overwrite=force) as target:
        save(drawn, target, suffix=output.suffix)
    result = {"output": str(output), "width": drawn.width, "height": drawn.height}
    print_result(result, f"{output}: {drawn.width}x{drawn.height} pixels", as_json, quiet)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    as_json: Json = False,
) -> None:
    """Show header, stages and sections of an .inr file, with the bytes of each."""
    from inr.describe import describe

    facts = of_file(describe, file)
    text = "\n".join(lines_of(facts))
    print_result(facts, text, as_json, quiet=False)


@app.command("eval")
def evaluate(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="The original.")],
    candidate: Annotated[Path, typer.Argument(metavar="CANDIDATE", help="A picture or .inr.")],
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Compare two pictures of the same size: PSNR and MS-SSIM, for an .inr file also its size."""
    from inr.codec import View, decode_picture
    from inr.container import MAGIC
    from inr.image import Picture, load
    from inr.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim, psnr_db

    view = View(max_pixels=max_pixels)

    def opened(path: Path) -> tuple[Picture, int | None]:
        with open(path, "rb") as file:
            is_inr = file.read(len(MAGIC)) == MAGIC
        if is_inr:
            return of_file(decode_picture, path, view), path.stat().st_size
        return load(path, max_pixels=max_pixels, warn=warner(quiet=False)), None

    (expected, _), (given, n_bytes) = opened(reference), opened(candidate)
    if expected.pixels.shape != given.pixels.shape or expected.bit_depth != given.bit_depth:
        raise UsageError(
            f"pictures of unlike size cannot be compared: {reference} is {kind_of(expected)}, "
            f"{candidate} is {kind_of(given)}"
        )
    psnr = psnr_db(expected.pixels, given.pixels)
    large_enough = min(expected.height, expected.width) >= MS_SSIM_MIN_SIDE
    similarity = ms_ssim(expected.pixels, given.pixels) if large_enough else None
    result: dict[str, Any] = {"psnr_db": finite(psnr), "ms_ssim": similarity}
    text = f"PSNR {psnr:.4f} dB, MS-SSIM "
    text += f"{similarity:.6f}" if similarity is not None else "needs 161 pixels a side"
    if n_bytes is not None:
        result |= {"n_bytes": n_bytes, "bpp": bpp(n_bytes, expected.height, expected.width)}
        text += f", {n_bytes} bytes, {result['bpp']:.4f} bpp"
    print_result(result, text, as_json, quiet=False)


app.command()(cli_studies.sweep)
app.command()(cli_studies.compare)
app.add_typer(cli_cae.app, name="cae")


@app.command("recipes")
def list_recipes(as_json: Json = False) -> None:
    """List the recipes with all that `--set` can change."""
    from inr.recipes import RECIPES
    from inr.settings import paths

    listed: dict[str, dict[str, Any]] = {
        name: {
            "summary": (make.__doc__ or "").strip(),
            "settings": dict(path.split("=", 1) for path in paths(make())),
        }
        for name, make in RECIPES.items()
    }
    lines = []
    for name, facts in listed.items():
        lines.append(f"{name}: {facts['summary']}")
        lines += [f"    {path}={value}" for path, value in facts["settings"].items()]
    print_result(listed, "\n".join(lines), as_json, quiet=False)


def main() -> None:
    """Runs the command line; every failure is one line on stderr and exit code 1."""
    from inr.errors import InrError

    try:
        try:
            app(prog_name="inr")
        finally:
            sys.stdout.flush()  # here, where a reader that went away can be caught
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away: nobody to tell
        sys.exit(1)
    except MemoryError:
        fail("not enough memory; try a smaller picture, size or region")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except InrError as error:
        fail(str(error))
