"""The curves of a sweep as one picture, drawn by matplotlib without a screen."""

import math
from collections.abc import Sequence
from pathlib import Path

from inr.files import write_whole
from inr.report import Curve

_MOST_CURVES = 12  # told apart by their colours and still named beside the axes


def write_plot(path: Path, curves: Sequence[Curve]) -> None:
    """PSNR and MS-SSIM over bits per pixel, as PNG; the first curves if there are many."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    psnr, similarity = figure.subplots(1, 2)
    for curve in curves[:_MOST_CURVES]:
        points = sorted(curve.points, key=lambda point: point.bpp)
        finite = [(p.bpp, p.psnr_db) for p in points if math.isfinite(p.psnr_db)]
        measured = [(p.bpp, p.ms_ssim) for p in points if p.ms_ssim is not None]
        psnr.plot(*_xy(finite), marker="o", label=curve.name)
        similarity.plot(*_xy(measured), marker="o", label=curve.name)
    for axes, name in ((psnr, "PSNR, dB"), (similarity, "MS-SSIM")):
        axes.set_xlabel("bits per pixel of the whole file")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    if curves:
        figure.legend(*psnr.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    if len(curves) > _MOST_CURVES:
        figure.suptitle(f"the first {_MOST_CURVES} of {len(curves)} curves; all: report.html")
    with write_whole(path, overwrite=True) as file:
        canvas.print_png(file)


def _xy(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
