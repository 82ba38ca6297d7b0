"""The command line. Each command imports what it needs itself: `inr info` must not wait for jax."""

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from inr.cli import cae as cli_cae
from inr.cli import studies as cli_studies
from inr.cli.compilation_cache import keep_compilations
from inr.cli.memory import use_few_arenas
from inr.cli.output import (
    Force,
    Json,
    MaxMacs,
    MaxPixels,
    Output,
    Quiet,
    assignments,
    beside,
    check_output,
    fail,
    finite,
    form_of,
    lines_of,
    models_folder,
    numbers_of,
    of_bytes,
    of_file,
    picture_bytes,
    picture_of,
    print_result,
    warner,
)
from inr.cli.streams import (
    STANDARD,
    flush_stdout,
    input_name,
    output_name,
    path_of,
    prepare,
    tell,
    written,
)
from inr.errors import UsageError
from inr.format.container import DEFAULT_MAX_MACS, DEFAULT_MAX_PIXELS

InrFile = Annotated[
    Path,
    typer.Argument(metavar="IN", parser=path_of, help="An .inr file; - is standard input."),
]


class _Commands(TyperGroup):
    """Commands whose EOFError is a bug as another; typer would make "Aborted!" of it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError("unexpected end of a file") from error


app = typer.Typer(
    cls=_Commands,
    help="Stores a picture as a small function fitted to it, and draws it again at any size.",
    epilog="Compiled programs are kept in the user's cache folder (~/.cache/inr on Linux), at most "
    "1 GiB. INR_CACHE=FOLDER names another one, an empty INR_CACHE switches it off.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def encode(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="IN", parser=path_of, help="Picture that Pillow opens; - is standard input."
        ),
    ],
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
        float | None,
        typer.Option(metavar="DB", help="At least this quality, in as few bytes as found."),
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Be done after so many seconds, everything counted; refused where that cannot be.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=path_of,
            help="Save the fit here, and go on from it after a kill.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit a picture and write it as an .inr file (IN with the suffix .inr unless -o is given).

    As a filter: inr encode - -o - <photo.png >photo.inr
    """
    started_at = time.monotonic()  # a time budget counts what the command loads, too
    keep_compilations()
    from inr.codec import encode_picture
    from inr.image.metrics import bpp
    from inr.kinds import kind_of
    from inr.options import EncodeOptions, Target
    from inr.recipes import named
    from inr.settings import with_settings

    chosen = named(recipe)
    chosen = with_settings(chosen, assignments(settings or []))
    target = Target(target_bpp, target_bytes, target_psnr)
    options = EncodeOptions(target, seed, time_budget, checkpoint, started_at)
    output = output if output is not None else beside(picture, ".inr")
    check_output(output, force, inputs=[picture])
    if checkpoint == STANDARD:
        raise UsageError("--checkpoint -: a checkpoint is written more than once; name a file")
    if checkpoint is not None:
        check_output(checkpoint, force=True, inputs=[picture, output])
    from inr.progress import progress_bar

    loaded = picture_of(picture, max_pixels, warner(quiet))
    if loaded.bit_depth > kind_of(chosen).max_bit_depth:
        warner(quiet)(
            f"{input_name(picture)}: files of recipe {chosen.name} have 8 bits a sample, to which "
            f"the {loaded.bit_depth} of this picture are rounded"
        )
        loaded = loaded.round_to_8_bits()
    with progress_bar(show=not quiet and sys.stderr.isatty()) as report:
        encoded = encode_picture(loaded, chosen, options, warn=warner(quiet), report=report)
    with written(output, overwrite=force) as file:
        file.write(encoded.data)
    if encoded.checkpoint is not None:
        encoded.checkpoint.remove()
    if encoded.missed is not None:
        warner(quiet)(f"{output_name(output)}: {encoded.missed}")
    n_bytes = len(encoded.data)
    result = {
        "output": str(output),
        "n_bytes": n_bytes,
        "bpp": bpp(n_bytes, loaded.height, loaded.width),
        "psnr_db": finite(encoded.psnr_db),
        "recipe": chosen.name,
        "steps": encoded.n_steps,
        "seconds": round(encoded.seconds, 3),
        "target_met": None if not target.is_given else encoded.missed is None,
    }
    print_result(
        result,
        [
            f"{output_name(output)}: {n_bytes} bytes, {result['bpp']:.4f} bpp, "
            f"{encoded.psnr_db:.2f} dB, {encoded.n_steps} steps in {encoded.seconds:.1f} s"
        ],
        as_json,
        quiet,
        output,
    )


@app.command()
def decode(
    file: InrFile,
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
    max_macs: MaxMacs = DEFAULT_MAX_MACS,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Draw the picture of an .inr file (IN with the suffix .decoded.png unless -o is given).

    The suffix of OUT names the format; standard output gets a PNG.
    """
    from inr.codec import decode_picture
    from inr.image.write import check_savable, save
    from inr.options import DecodeOptions

    output = output if output is not None else beside(file, ".decoded.png")
    suffix = ".png" if output == STANDARD else output.suffix
    check_output(output, force, inputs=[file])
    options = DecodeOptions(
        scale,
        None if size is None else numbers_of(size, "x", 2, "--size", "768x512"),
        None if region is None else numbers_of(region, ",", 4, "--region", "0,0,64,64"),
        max_pixels,
        max_macs,
        models_folder(),
    )
    drawn = of_file(decode_picture, file, options)
    check_savable(drawn, suffix)
    with written(output, overwrite=force) as target:
        save(drawn, target, suffix=suffix)
    result = {"output": str(output), "width": drawn.width, "height": drawn.height}
    text = f"{output_name(output)}: {drawn.width}x{drawn.height} pixels"
    print_result(result, [text], as_json, quiet, output)


@app.command()
def info(
    file: InrFile,
    as_json: Json = False,
) -> None:
    """Show header, stages and sections of an .inr file, with the bytes of each."""
    from inr.codec import DESCRIBE_OPTIONS, describe

    facts = of_file(describe, file, replace(DESCRIBE_OPTIONS, models=models_folder()))
    print_result(facts, lines_of(facts), as_json, quiet=False)


@app.command("eval")
def evaluate(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", parser=path_of, help="The original.")
    ],
    candidate: Annotated[
        Path, typer.Argument(metavar="CANDIDATE", parser=path_of, help="A picture or .inr.")
    ],
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    max_macs: MaxMacs = DEFAULT_MAX_MACS,
    as_json: Json = False,
) -> None:
    """Compare two pictures of the same size: PSNR and MS-SSIM, for an .inr file also its size.

    One of the two may be -, which is standard input.
    """
    from inr.codec import decode_picture
    from inr.format.container import MAGIC
    from inr.image.metrics import MS_SSIM_MIN_SIDE, bpp, ms_ssim, psnr_db
    from inr.image.picture import Picture
    from inr.image.read import load_bytes
    from inr.options import DecodeOptions

    if reference == candidate == STANDARD:
        raise UsageError("standard input can be read once only; name a file for one of the two")
    options = DecodeOptions(max_pixels=max_pixels, max_macs=max_macs, models=models_folder())
    warn = warner(quiet=False)

    def open_either(path: Path) -> tuple[Picture, int | None]:
        data = picture_bytes(path, max_pixels)
        if data.startswith(MAGIC):
            return of_bytes(decode_picture, data, path, options), len(data)
        return load_bytes(data, input_name(path), max_pixels=max_pixels, warn=warn), None

    (expected, _), (given, n_bytes) = open_either(reference), open_either(candidate)
    if expected.pixels.shape != given.pixels.shape or expected.bit_depth != given.bit_depth:
        raise UsageError(
            f"pictures of unlike size cannot be compared: {input_name(reference)} is "
            f"{form_of(expected)}, {input_name(candidate)} is {form_of(given)}"
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
    print_result(result, [text], as_json, quiet=False)


app.command()(cli_studies.sweep)
app.command()(cli_studies.compare)
app.add_typer(cli_cae.app, name="cae")


@app.command("recipes")
def list_recipes(as_json: Json = False) -> None:
    """List the recipes with all that `--set` can change."""
    from inr.recipes import all_recipes
    from inr.settings import paths

    listed: dict[str, dict[str, Any]] = {
        name: {
            "summary": (make.__doc__ or "").strip(),
            "settings": dict(path.split("=", 1) for path in paths(make())),
        }
        for name, make in all_recipes().items()
    }
    lines = []
    for name, facts in listed.items():
        lines.append(f"{name}: {facts['summary']}")
        lines += [f"    {path}={value}" for path, value in facts["settings"].items()]
    print_result(listed, lines, as_json, quiet=False)


def main() -> None:
    """Run the command line.

    What the caller can mend is one line on stderr and exit code 1. All else is a bug of ours: its
    traceback, then a line that asks to report it, and exit code 1 too.
    """
    from inr.errors import InrError

    prepare()
    use_few_arenas()
    try:
        try:
            with _end_at_sigterm():
                app(prog_name="inr")
        finally:
            flush_stdout()  # here, where a reader that went away can be caught
    except BrokenPipeError:
        sys.exit(1)  # the reader went away: nobody to tell
    except InrError as error:
        fail(str(error))
    except MemoryError:
        fail("not enough memory; try a smaller picture, size or region")
    except OSError as error:
        text = error.strerror or str(error) or type(error).__name__
        fail(f"{error.filename}: {text}" if error.filename else text)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(line)
        reason = traceback.format_exception_only(error)[-1].strip()
        fail(f"this is a bug of inr, please report it with the lines above: {reason}")


@contextlib.contextmanager
def _end_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: nothing half-written remains, no word."""

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends at once what hangs
        sys.exit(128 + number)

    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # the caller wants it otherwise
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
