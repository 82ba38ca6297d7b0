"""Trains a slimmable model whose lambdas are found on the way, stage after stage.

stage_00, stage_01, ..   a folder a stage of slimming.py, each begun with the weights of the one
                         before; the last is the training proper, with the lambdas found
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inr.cae.training.autoencoder import Params
from inr.cae.training.configs import Config
from inr.cae.training.loop import Report, TrainResult, train
from inr.cae.training.pictures import Pictures, Warn
from inr.cae.training.slimming import Point, scheduled_lambdas
from inr.errors import UsageError


class _OutOfTime(Exception):
    """A leg ended inside a stage."""


def train_slimmable(
    config: Config,
    pictures: Pictures,
    folder: Path,
    *,
    validation: Sequence[np.ndarray],
    until: float | None = None,
    start: Params | None = None,
    report: Report | None = None,
    warn: Warn = lambda text: None,
) -> tuple[TrainResult, Path]:
    """`train` for a configuration with schedule_steps.

    Returns:
      What the last stage that was begun ended with, and its folder.
    Raises:
      ValueError: no validation pictures, which the schedule is read from.
    """
    if not validation:
        raise UsageError("a schedule of lambdas is read from validation pictures; give some")
    weights = start
    last: tuple[TrainResult, Path] | None = None
    n_stages = 0

    def run(stage: Config) -> TrainResult:
        nonlocal weights, last, n_stages
        path = folder / f"stage_{n_stages:02d}"
        leg = train(
            stage,
            pictures,
            path,
            validation=validation,
            validate_every=stage.train.steps,
            until=until,
            start=weights,
            report=report,
            warn=warn,
            validation_decides=True,
        )
        weights, last, n_stages = leg.state.params, (leg, path), n_stages + 1
        if int(leg.state.step) < stage.train.steps:
            raise _OutOfTime
        return leg

    short = dataclasses.replace(config.train, steps=config.schedule_steps)

    def train_on(lambdas: Sequence[float]) -> list[Point]:
        stage = dataclasses.replace(config, train=short, width_lambdas=tuple(lambdas))
        return [(point["bpp"], point["psnr_db"]) for point in run(stage).points]

    try:
        first = config.width_lambdas[-1]
        lambdas = scheduled_lambdas(first, len(config.width_lambdas), train_on)
        run(dataclasses.replace(config, width_lambdas=lambdas))
    except _OutOfTime:
        pass
    assert last is not None
    return last
