"""Trains a slimmable model, and finds on the way which lambda each of its widths is to serve.

Yang et al., "Slimmable compressive autoencoders for practical neural image compression", CVPR 2021,
Section 4.2. All widths begin with the lambda of the widest. From the widest on, the lambdas of all
narrower ones are raised step by step as long as the line from one width to the next becomes flatter
in PSNR over rate: a narrow network is best used at rates it can serve.

stage_00, stage_01, ..   a folder for each try, begun with the weights of the one before; the last
                         is the training proper, with the lambdas found
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from inr.cae.training.autoencoder import Params
from inr.cae.training.configs import Config
from inr.cae.training.loop import Report, TrainResult, train
from inr.cae.training.pictures import Pictures, Warn
from inr.errors import UsageError

Point = tuple[float, float]  # bpp, PSNR in dB

_FACTOR = 1.25  # of lambda a try: 1 / 0.8, as the paper's lambda weighs the distortion
_MOST_TRIES = 7  # for each width


class _OutOfTime(Exception):
    """The time ended inside a stage."""


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
    """Train a configuration with schedule_steps; see `loop.train`.

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
        result = train(
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
        weights, last, n_stages = result.state.params, (result, path), n_stages + 1
        if int(result.state.step) < stage.train.steps:
            raise _OutOfTime
        return result

    short = dataclasses.replace(config.train, steps=config.schedule_steps)

    def train_on(lambdas: Sequence[float]) -> list[Point]:
        stage = dataclasses.replace(config, train=short, width_lambdas=tuple(lambdas))
        return [(point["bpp"], point["psnr_db"]) for point in run(stage).points]

    try:
        first = config.width_lambdas[-1]
        lambdas = schedule_lambdas(first, len(config.width_lambdas), train_on)
        run(dataclasses.replace(config, width_lambdas=lambdas))
    except _OutOfTime:
        pass
    assert last is not None
    return last


def schedule_lambdas(
    first: float,
    n_widths: int,
    train_on: Callable[[Sequence[float]], Sequence[Point]],
) -> tuple[float, ...]:
    """Find the lambdas of all widths, the narrowest first.

    Args:
      first: of the widest width, and of all at first.
      train_on: trains on for a while with given lambdas, and returns where each width stands on the
        validation pictures, the narrowest first; it is called with all equal to first once.
    Raises:
      ValueError: fewer than two widths.
    """
    if n_widths < 2:
        raise ValueError(f"n_widths={n_widths}: a schedule needs at least two widths")
    lambdas = [first] * n_widths
    points = train_on(lambdas)
    for narrower in reversed(range(n_widths - 1)):
        slope = _slope(points, narrower)
        for _ in range(_MOST_TRIES):
            tried = [each * _FACTOR if i <= narrower else each for i, each in enumerate(lambdas)]
            points = train_on(tried)
            lambdas, before, slope = tried, slope, _slope(points, narrower)
            if slope > before:
                break
    return tuple(lambdas)


def _slope(points: Sequence[Point], narrower: int) -> float:
    """Compute dB a bit from one width to the next wider; endless where that costs no bits."""
    (low_bpp, low_db), (high_bpp, high_db) = points[narrower], points[narrower + 1]
    return (high_db - low_db) / (high_bpp - low_bpp) if high_bpp > low_bpp else float("inf")
