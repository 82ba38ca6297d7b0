"""The curves of a sweep as one picture."""

from collections.abc import Sequence
from pathlib import Path

from inr.files import write_whole
from inr.studies.plot import Panel, Series, png_of
from inr.studies.report import Curve, Point

_MOST_CURVES = 10  # as many colours as matplotlib has


def write_plot(path: Path, curves: Sequence[Curve]) -> None:
    """PSNR and MS-SSIM over bits per pixel, as PNG; the first curves if there are many.

    Raises:
      CodecError: matplotlib cannot draw it.
      OSError: the file cannot be written.
    """
    shown = [
        (curve.name, sorted(curve.points, key=lambda point: point.bpp))
        for curve in curves[:_MOST_CURVES]
    ]
    title = ""
    if len(curves) > _MOST_CURVES:
        title = f"the first {_MOST_CURVES} of {len(curves)} curves; all: report.html"
    panels = [_panel("PSNR, dB", [(name, _psnr(points)) for name, points in shown])]
    if any(point.ms_ssim is not None for _, points in shown for point in points):
        panels.append(_panel("MS-SSIM", [(name, _ms_ssim(points)) for name, points in shown]))
    png = png_of(panels, title=title)
    with write_whole(path, overwrite=True) as file:
        file.write(png)


_XY = tuple[tuple[float, float], ...]


def _panel(y_title: str, curves: Sequence[tuple[str, _XY]]) -> Panel:
    series = tuple(Series(name, points) for name, points in curves)
    return Panel("bits per pixel of the whole file", y_title, series)


def _psnr(points: Sequence[Point]) -> _XY:
    return tuple((point.bpp, point.psnr_db) for point in points)


def _ms_ssim(points: Sequence[Point]) -> _XY:
    return tuple((point.bpp, point.ms_ssim) for point in points if point.ms_ssim is not None)
