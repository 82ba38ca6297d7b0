"""The curves of a sweep as one picture, drawn by matplotlib without a screen."""

import math
from collections.abc import Sequence
from pathlib import Path

from inr.files import write_whole
from inr.report import Curve

_MOST_CURVES = 10  # as many colours as matplotlib has


def write_plot(path: Path, curves: Sequence[Curve]) -> None:
    """PSNR and MS-SSIM over bits per pixel, as PNG; the first curves if there are many."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot's: that one belongs to the whole process
    shown = curves[:_MOST_CURVES]
    points = [point for curve in shown for point in curve.points]
    has_similarity = any(point.ms_ssim is not None for point in points)
    psnr, *others = figure.subplots(1, 2 if has_similarity else 1, squeeze=False)[0]
    for curve in shown:
        ordered = sorted(curve.points, key=lambda point: point.bpp)
        finite = [(point.bpp, point.psnr_db) for point in ordered if math.isfinite(point.psnr_db)]
        psnr.plot(*_xy(finite), marker="o", label=curve.name)
        for axes in others:
            measured = [(p.bpp, p.ms_ssim) for p in ordered if p.ms_ssim is not None]
            axes.plot(*_xy(measured), marker="o")
    for axes, name in zip((psnr, *others), ("PSNR, dB", "MS-SSIM"), strict=False):
        axes.set_xlabel("bits per pixel of the whole file")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    if curves:
        figure.legend(*psnr.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    if len(curves) > _MOST_CURVES:
        figure.suptitle(f"the first {_MOST_CURVES} of {len(curves)} curves; all: report.html")
    with write_whole(path, overwrite=True) as file:
        figure.savefig(file, format="png", dpi=120)


def _xy(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
