"""The mean curves of a comparison as a PNG."""

import math
from collections.abc import Callable, Sequence
from typing import BinaryIO

from inr.bd_rate import ms_ssim_db
from inr.report import Curve, Point


def plot(curves: Sequence[Curve], file: BinaryIO) -> None:
    """Writes the mean curves as a PNG, PSNR beside MS-SSIM where there is one."""
    from matplotlib.figure import Figure  # not pyplot: no state that outlives this call

    measures: list[tuple[str, Callable[[Point], float | None]]] = [
        ("PSNR, dB", lambda point: point.psnr_db),
        ("MS-SSIM, -10 log10(1 - x), dB", _ms_ssim_of_point),
    ]
    if all(point.ms_ssim is None for curve in curves for point in curve.points):
        measures.pop()
    figure = Figure(figsize=(7 * len(measures), 5), layout="constrained")
    for i, (title, of) in enumerate(measures, start=1):
        axes = figure.add_subplot(1, len(measures), i)
        for curve in curves:
            points = sorted(curve.points, key=lambda point: point.bpp)
            spots = [(point.bpp, of(point)) for point in points]
            drawn = [(x, y) for x, y in spots if y is not None and math.isfinite(y)]
            axes.plot([x for x, _ in drawn], [y for _, y in drawn], marker=".", label=curve.name)
        axes.set_xlabel("bits per pixel")
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if curves:
            axes.legend()
    figure.savefig(file, format="png", dpi=120)


def _ms_ssim_of_point(point: Point) -> float | None:
    return None if point.ms_ssim is None else ms_ssim_db(point.ms_ssim)
