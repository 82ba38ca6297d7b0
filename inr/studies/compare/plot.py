"""The mean curves of a comparison as a PNG."""

from collections.abc import Callable, Sequence
from typing import BinaryIO

from inr.studies.bd_rate import ms_ssim_db
from inr.studies.plot import Panel, Series, png_of
from inr.studies.report import Curve, Point

_Measure = Callable[[Point], float | None]


def plot(curves: Sequence[Curve], file: BinaryIO) -> None:
    """Writes the mean curves as a PNG, PSNR beside MS-SSIM where there is one.

    Raises:
      CodecError: matplotlib cannot draw it.
      OSError: it cannot be written.
    """
    panels = [_panel("PSNR, dB", curves, lambda point: point.psnr_db)]
    if any(point.ms_ssim is not None for curve in curves for point in curve.points):
        panels.append(_panel("MS-SSIM, -10 log10(1 - x), dB", curves, _ms_ssim_of_point))
    file.write(png_of(panels))


def _panel(y_title: str, curves: Sequence[Curve], of: _Measure) -> Panel:
    series = []
    for curve in curves:
        points = sorted(curve.points, key=lambda point: point.bpp)
        measured = [(point.bpp, of(point)) for point in points]
        series.append(Series(curve.name, tuple((x, y) for x, y in measured if y is not None)))
    return Panel("bits per pixel", y_title, tuple(series))


def _ms_ssim_of_point(point: Point) -> float | None:
    return None if point.ms_ssim is None else ms_ssim_db(point.ms_ssim)
