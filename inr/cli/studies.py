"""The commands that run many encodings: sweep and compare."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inr.cli.compilation_cache import keep_compilations
from inr.cli.output import Json, MaxPixels, Quiet, assignments, print_result, teller, warner
from inr.cli.streams import STANDARD, path_of, tell
from inr.errors import InrError, UsageError
from inr.format.container import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    from inr.studies.failures import Notice, Notify


Pictures = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", parser=path_of, help="Pictures to encode.")
]
Folder = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="DIR",
        parser=path_of,
        help="Folder; what was killed goes on there.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting of all recipes."),
]


def sweep(
    pictures: Pictures,
    recipe: Annotated[list[str], typer.Option(help="One of `inr recipes`; may be repeated.")],
    output: Folder,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=V1,V2,...", help="Run each value, as in quantize.bits=4,6,8."),
    ] = None,
    settings: Settings = None,
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
    keep_compilations()
    from inr.studies.sweep.estimate import estimate_sweep, list_plan
    from inr.studies.sweep.plan import plan_sweep
    from inr.studies.sweep.request import Request, parse_vary
    from inr.studies.sweep.run import run_sweep

    _check_files(pictures, output)
    changes = assignments(settings or [])
    if target_bpp is not None:
        if "target_bpp" in changes:
            raise UsageError("target_bpp is given twice, by --target-bpp and by --set")
        changes["target_bpp"] = str(target_bpp)
    varied = parse_vary(vary or [])
    request = Request(tuple(pictures), tuple(recipe), varied, changes, tuple(seed or [0]))
    with _interruptible(" before the first run"):
        plan = plan_sweep(request, output, jobs=jobs, batch=batch, warn=warner(quiet))
    n_failed, first_failure = 0, None
    if dry_run:
        seconds, basis = estimate_sweep(plan)
        teller(quiet)(basis)
        lines, took = list_plan(plan), f"about {seconds:.0f} s for the others"
    else:
        is_shown = not quiet and sys.stderr.isatty()
        done = run_sweep(plan, show_progress=is_shown, notify=_notifier(quiet))
        seconds, n_failed, first_failure = done.seconds, done.n_failed, done.first_failure
        lines, took = [], f"{seconds:.1f} s"
    result = {
        "output": str(output),
        "runs": len(plan.runs),
        "skipped": len(plan.finished),
        "failed": n_failed,
        "seconds": round(seconds, 3),
    }
    n_before = len(plan.finished)
    lines.append(f"{output}: {len(plan.runs)} runs, {n_before} of them done before, {took}")
    print_result(result, lines, as_json, quiet and not dry_run)
    if n_failed:
        raise InrError(
            f"{n_failed} of {len(plan.runs)} runs failed, first {first_failure}; the same command "
            "tries them again"
        )


def compare(
    pictures: Pictures,
    output: Folder,
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
    lambdas: Annotated[
        list[float] | None,
        typer.Option(
            "--lambda",
            metavar="X",
            help="Of recipes grid* and cae, instead of sizes; if not given, 0.004 0.001 0.0004 "
            "0.0001 and of cae 0.0128 0.004 0.0014 0.0005 0.0002.",
        ),
    ] = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(help="Of the fits.")] = 0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw R-D curves of recipes against classical codecs: BD-rates, a plot and a report in DIR."""
    keep_compilations()
    from inr.studies.compare.inputs import (
        TARGET_BPPS,
        choose_codecs,
        choose_recipes,
        load_pictures,
    )
    from inr.studies.compare.run import compare as run_comparison
    from inr.studies.compare.summary import mean_lines

    _check_files(pictures, output)
    fitted = choose_recipes(
        recipe or ["siren"],
        assignments(settings or []),
        target_bpp or TARGET_BPPS,
        lambdas or (),
        seed=seed,
        show_progress=not quiet and sys.stderr.isatty(),
    )
    left_out: list[str] = []
    classical = choose_codecs(codec or [], anchor, warn=left_out.append)
    warn = warner(quiet)
    for text in left_out:
        warn(text)
    loaded = load_pictures(pictures, max_pixels=max_pixels, warn=warn)
    with _interruptible("; what is measured stays, and the same command goes on from there"):
        done = run_comparison(
            loaded,
            classical,
            fitted,
            output,
            anchor=anchor,
            tell=teller(quiet),
            notify=_notifier(quiet),
            notes=left_out,
        )
    result = {
        "output": str(output),
        "rows": len(done.rows),
        "bd_rates": [dataclasses.asdict(one) for one in done.bd_rates],
    }
    lines = mean_lines(done.bd_rates, anchor, len(loaded))
    lines.append(f"{output}: {len(done.rows)} rows, {len(done.skipped)} skipped")
    print_result(result, lines, as_json, quiet)
    if done.n_bugs:
        raise InrError(
            f"{done.n_bugs} of the {len(done.skipped)} encodings skipped met a bug of inr, whose "
            "traceback was shown; the same command tries them again"
        )


def _check_files(pictures: list[Path], output: Path) -> None:
    if STANDARD in pictures:
        raise UsageError(
            "-: a picture of standard input has no name for the tables, and is read more than "
            "once; copy it to a file"
        )
    if output == STANDARD:
        raise UsageError("-o -: the results are several files; name a folder")


def _notifier(quiet: bool) -> "Notify":
    """Print warnings unless it is quiet, and tracebacks in any case."""
    warn = warner(quiet)

    def notify(notice: "Notice") -> None:
        if not notice.is_traceback:
            warn(notice.text)
            return
        for line in notice.text.splitlines():
            tell(line)

    return notify


@contextlib.contextmanager
def _interruptible(text: str) -> Iterator[None]:
    """End a command with a line after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise InrError(f"interrupted{text}") from None
