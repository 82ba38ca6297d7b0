"""`inr cae`: training autoencoders and making weights files of them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inr.cli.compilation_cache import keep_compilations
from inr.cli.output import Json, Quiet, assignments, check_output, print_result, warner
from inr.cli.streams import path_of
from inr.errors import UsageError

app = typer.Typer(
    help="Train the autoencoders of kind cae, and export their weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def train(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="DIR_OR_ZIP",
            parser=path_of,
            help="Pictures to train on; repeatable.",
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", parser=path_of, help="Checkpoint and log."),
    ],
    config: Annotated[
        str, typer.Option(help="hyperprior, smoke, ..., or a config.json.")
    ] = "hyperprior",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="As in train.steps=2000."),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR_OR_ZIP", parser=path_of, help="Pictures to measure R-D on as it goes."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=path_of, help="Begin with the weights of another training."
        ),
    ] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="End after so many seconds; the same command goes on from there."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model, or go on where the run before ended."""
    import time

    keep_compilations()
    from inr.fitting.jax_settings import device

    device()  # what is wrong with jax is reported here; the next imports would end in a traceback
    from inr.cae.training.configs import named_config
    from inr.cae.training.loop import load_state, validation_pictures
    from inr.cae.training.loop import train as run
    from inr.cae.training.pictures import open_pictures
    from inr.cae.training.slimmable import train_slimmable
    from inr.progress import training_bar
    from inr.settings import with_values

    started_at = time.monotonic()
    chosen = with_values(named_config(config), assignments(settings or []))
    if time_budget is not None and not time_budget > 0:  # also for NaN
        raise UsageError(f"time_budget={time_budget}: expected seconds above 0")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    warn = warner(quiet)
    pictures = open_pictures(*data, warn=warn)
    held_out = validation_pictures(open_pictures(*validation, warn=warn)) if validation else []
    until = None if time_budget is None else started_at + time_budget
    with training_bar(show=not quiet and sys.stderr.isatty()) as report:
        given: Any = {"validation": held_out, "until": until, "report": report, "warn": warn}
        given["start"] = None if start is None else load_state(start)[1].mean
        if chosen.schedule_steps:
            done, folder = train_slimmable(chosen, pictures, folder, **given)
        else:
            done = run(chosen, pictures, folder, **given)
    n_steps = int(done.state.step)
    result: dict[str, Any] = {
        "output": str(folder),
        "config": chosen.name,
        "step": n_steps,
        "steps": chosen.train.steps,
        "loss": done.loss,
        "points": done.points,
        "seconds": round(time.monotonic() - started_at, 3),
    }
    points = ", ".join(f"{each['bpp']:.3f} bpp {each['psnr_db']:.2f} dB" for each in done.points)
    text = f"{folder}: step {n_steps} of {chosen.train.steps}"
    print_result(result, [f"{text}; validation {points}" if points else text], as_json, quiet)


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", parser=path_of, help="What `inr cae train` wrote.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE.npz", parser=path_of, help="Weights file to write."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Of the model; the config's if not given.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite.")] = False,
) -> None:
    """Make a weights file for `--recipe cae --set model=FILE.npz`; decoders find it in the folder
    that the environment variable INR_MODELS names."""
    from inr.fitting.jax_settings import device

    device()  # as for `train`
    from inr.cae.training.export import export_file
    from inr.files import write_whole

    check_output(output, force, inputs=[])
    if output.suffix != ".npz":
        raise UsageError(f"{output}: name a file that ends in .npz")
    data, facts = export_file(folder, name)
    with write_whole(output, overwrite=force) as file:
        file.write(data)
    result = {"output": str(output), "n_bytes": len(data), **facts}
    print_result(result, [f"{output}: {len(data)} bytes"], as_json, quiet)
