"""The command line. Each command imports what it needs itself: `inr info` must not wait for jax."""

import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from inr.container import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    from inr.picture import Picture

T = TypeVar("T")

app = typer.Typer(
    help="Stores a picture as a small function fitted to it, and draws it again at any size.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no warnings.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite an existing file.")]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", min=1, help="Refuse larger pictures before taking memory.")
]


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
    chosen = with_settings(chosen, _assignments(settings or []))
    wish = Wish(target_bpp, target_bytes, target_psnr, seed, time_budget, checkpoint)
    output = output if output is not None else picture.with_suffix(".inr")
    _check_output(output, force, inputs=[picture])
    if checkpoint is not None:
        _check_output(checkpoint, force=True, inputs=[picture, output])
    from inr.image import load
    from inr.progress import progress_bar

    loaded = load(picture, max_pixels=max_pixels, warn=_warner(quiet))
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
        "psnr_db": _finite(encoded.psnr_db),
        "recipe": chosen.name,
        "steps": encoded.n_steps,
        "seconds": round(encoded.seconds, 3),
    }
    _print(
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
    _check_output(output, force, inputs=[file])
    view = View(
        scale,
        None if size is None else _numbers(size, "x", 2, "--size", "768x512"),
        None if region is None else _numbers(region, ",", 4, "--region", "0,0,64,64"),
        max_pixels,
    )
    drawn = _of_file(decode_picture, file, view)
    check_savable(drawn, output.suffix)
    with write_whole(output, overwrite=force) as target:
        save(drawn, target, suffix=output.suffix)
    result = {"output": str(output), "width": drawn.width, "height": drawn.height}
    _print(result, f"{output}: {drawn.width}x{drawn.height} pixels", as_json, quiet)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    as_json: Json = False,
) -> None:
    """Show header, stages and sections of an .inr file, with the bytes of each."""
    from inr.describe import describe

    facts = _of_file(describe, file)
    text = "\n".join(_lines(facts))
    _print(facts, text, as_json, quiet=False)


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
            return _of_file(decode_picture, path, view), path.stat().st_size
        return load(path, max_pixels=max_pixels, warn=_warner(quiet=False)), None

    (expected, _), (given, n_bytes) = opened(reference), opened(candidate)
    if expected.pixels.shape != given.pixels.shape or expected.bit_depth != given.bit_depth:
        raise ValueError(
            f"pictures of unlike size cannot be compared: {reference} is {_kind(expected)}, "
            f"{candidate} is {_kind(given)}"
        )
    psnr = psnr_db(expected.pixels, given.pixels)
    large_enough = min(expected.height, expected.width) >= MS_SSIM_MIN_SIDE
    similarity = ms_ssim(expected.pixels, given.pixels) if large_enough else None
    result: dict[str, Any] = {"psnr_db": _finite(psnr), "ms_ssim": similarity}
    text = f"PSNR {psnr:.4f} dB, MS-SSIM "
    text += f"{similarity:.6f}" if similarity is not None else "needs 161 pixels a side"
    if n_bytes is not None:
        result |= {"n_bytes": n_bytes, "bpp": bpp(n_bytes, expected.height, expected.width)}
        text += f", {n_bytes} bytes, {result['bpp']:.4f} bpp"
    _print(result, text, as_json, quiet=False)


@app.command()
def sweep(
    pictures: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures to fit.")],
    recipe: Annotated[list[str], typer.Option(help="One of `inr recipes`; may be repeated.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder; a killed sweep goes on there."),
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=V1,V2,...", help="Run each value, as in quantize.bits=4,6,8."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of all runs."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(metavar="N", help="May be repeated; 0 if not given.")
    ] = None,
    target_bpp: Annotated[
        float | None, typer.Option(metavar="X", help="At most so many bits a pixel.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, which share the cores.")] = 1,
    batch: Annotated[
        int, typer.Option(min=1, max=64, help="Runs of one shape to fit at once, at most.")
    ] = 16,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and estimate the time; run nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit pictures with recipes over lists of settings: a table, a plot and a report in DIR.

    DIR gets runs.csv, rd.png, report.html, and ledger.sqlite with every run made there. What is
    in the ledger already is not run again.
    """
    from inr.sweep import Request, parse_vary, run_sweep, todo_of

    changes = _assignments(settings or [])
    if target_bpp is not None:
        if "target_bpp" in changes:
            raise ValueError("target_bpp is given twice, by --target-bpp and by --set")
        changes["target_bpp"] = str(target_bpp)
    varied = parse_vary(vary or [])
    request = Request(tuple(pictures), tuple(recipe), varied, changes, tuple(seed or [0]))
    todo = todo_of(request, output, jobs=jobs, batch=batch, warn=_warner(quiet))
    if dry_run:
        from inr.sweep.listing import listing

        lines, seconds, basis = listing(todo)
        if not quiet:
            print(basis, file=sys.stderr)
        n_failed, first_failure = 0, None
    else:
        done = run_sweep(todo, show_progress=not quiet and sys.stderr.isatty())
        lines, seconds = [], done.seconds
        n_failed, first_failure = done.n_failed, done.first_failure
    result = {
        "output": str(output),
        "runs": len(todo.runs),
        "skipped": len(todo.finished),
        "failed": n_failed,
        "seconds": round(seconds, 3),
    }
    lines.append(
        f"{output}: {len(todo.runs)} runs, {len(todo.finished)} of them done before, "
        + (f"about {seconds:.0f} s for the others" if dry_run else f"{seconds:.1f} s")
    )
    _print(result, "\n".join(lines), as_json, quiet and not dry_run)
    if n_failed:
        raise RuntimeError(
            f"{n_failed} of {len(todo.runs)} runs failed, first {first_failure}; the same command "
            "tries them again"
        )


@app.command()
def compare(
    pictures: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="8-bit pictures.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder; a killed run goes on there."),
    ],
    recipe: Annotated[
        list[str] | None, typer.Option(help="May be repeated; siren if not given.")
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            help="jpeg420, jpeg444, jpeg2000, webp, avif, jxl, hevc or vvc; may be repeated; "
            "all that can run here if not given."
        ),
    ] = None,
    anchor: Annotated[
        str, typer.Option(help="Codec or recipe that is 0 %; a codec is run in any case.")
    ] = "jpeg420",
    target_bpp: Annotated[
        list[float] | None,
        typer.Option(
            metavar="X", help="Sizes of recipes' files; 0.1 0.2 0.3 0.45 0.6 if not given."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of all recipes."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the fits.")] = 0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw R-D curves of recipes against classical codecs: BD-rates, a plot and a report in DIR."""
    from inr.compare import compare as run_comparison
    from inr.compare_inputs import TARGET_BPPS, choose_codecs, choose_recipes, load_pictures
    from inr.compare_report import summary

    fitted = choose_recipes(
        recipe or ["siren"],
        _assignments(settings or []),
        target_bpp or TARGET_BPPS,
        seed=seed,
        show_progress=not quiet and sys.stderr.isatty(),
    )
    left_out: list[str] = []
    classical = choose_codecs(codec or [], anchor, warn=left_out.append)
    warn = _warner(quiet)
    for text in left_out:
        warn(text)
    loaded = load_pictures(pictures, max_pixels=max_pixels, warn=warn)
    done = run_comparison(
        loaded,
        classical,
        fitted,
        output,
        anchor=anchor,
        tell=lambda text: None if quiet else print(text, file=sys.stderr, flush=True),
        notes=left_out,
    )
    result = {
        "output": str(output),
        "rows": len(done.rows),
        "bd_rates": [dataclasses.asdict(one) for one in done.bd_rates],
    }
    lines = summary(done.bd_rates, anchor, len(loaded))
    lines.append(f"{output}: {len(done.rows)} rows, {len(done.skipped)} skipped")
    _print(result, "\n".join(lines), as_json, quiet)


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
    _print(listed, "\n".join(lines), as_json, quiet=False)


def main() -> None:
    """Runs the command line; every failure is one line on stderr and exit code 1."""
    from inr.errors import FormatError

    try:
        app(prog_name="inr")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away: nobody to tell
        sys.exit(1)
    except MemoryError:
        _fail("not enough memory; try a smaller picture, size or region")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (FormatError, ValueError, RuntimeError) as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    print("error:", " ".join(text.split()), file=sys.stderr)
    sys.exit(1)


def _warner(quiet: bool) -> Any:
    def warn(text: str) -> None:
        if not quiet:
            print("warning:", text, file=sys.stderr)

    return warn


def _print(result: dict[str, Any], text: str, as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json.dumps(result, allow_nan=False))
    elif not quiet:
        print(text)


def _finite(value: float) -> float | None:
    """JSON has no infinity: null stands for the PSNR of equal pictures."""
    return value if math.isfinite(value) else None


def _of_file(function: Callable[..., T], path: Path, *arguments: Any) -> T:
    """Calls a function of the bytes of an .inr file; its FormatError names the file."""
    from inr.container import MAX_FILE_BYTES
    from inr.errors import FormatError

    with open(path, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    try:
        return function(data, *arguments)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _kind(picture: "Picture") -> str:
    modes = ("grey", "grey with alpha", "RGB", "RGBA")
    mode = modes[picture.n_channels - 1]
    return f"{picture.width}x{picture.height} {mode} of {picture.bit_depth} bits"


def _check_output(path: Path, force: bool, inputs: list[Path]) -> None:
    """Finds out before the work what would stop the result from being written after it."""
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"{path} would overwrite an input or another output; name another file")
    if path in inputs:
        raise ValueError(f"{path} is named twice; name another file")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not an ordinary file; name another")
    if os.path.lexists(path) and not path.exists():
        raise ValueError(f"{path} is a link to nothing; remove it or name another file")
    if path.exists() and not force:
        raise ValueError(f"{path} exists; give -f to overwrite it or -o to name another file")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to the folder {path.parent}: {error.strerror}") from error


def _assignments(texts: list[str]) -> dict[str, str]:
    assignments = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text}: expected PATH=VALUE, as in fit.steps=500")
        assignments[path.strip()] = value.strip()
    return assignments


def _numbers(text: str, separator: str, n: int, option: str, example: str) -> Any:
    parts = text.lower().split(separator)
    try:
        values = tuple(int(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) != n:
        raise ValueError(f"{option} {text}: expected {n} whole numbers, as in {example}")
    return values


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [", ".join(f"{key} {of}" for key, of in row.items()) for row in value]
            lines += [f"{indent}{name}:", *(f"{indent}  {row}" for row in rows)]
        else:
            lines.append(f"{indent}{name}: {value}")
    return lines
