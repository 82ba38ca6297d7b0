"""Rate and distortion of a sweep as curves: the last varied path runs along each of them."""

import statistics
from collections.abc import Mapping, Sequence

from inr.studies.plot import Curve, Point
from inr.studies.sweep.request import Result, Run

_Place = tuple[str, str]  # recipe with the earlier varied values, and the last varied value


def curves_of(runs: Sequence[Run], results: Mapping[str, Result]) -> list[Curve]:
    """Make a curve of each picture and combination of recipe and all varied values but the last.

    Each point is the mean over the seeds that are finished. With several pictures, curves of
    their means come first; a mean is there only if each picture has its point, since a mean
    over other pictures could not be compared with its neighbours.
    """
    pictures = list(dict.fromkeys(run.picture for run in runs))
    points: dict[str, dict[_Place, Point]] = {picture: {} for picture in pictures}
    members: dict[tuple[str, _Place], list[Result]] = {}
    for run in runs:
        if run.config_hash in results:
            members.setdefault((run.picture, _place(run)), []).append(results[run.config_hash])
    for (picture, place), found in members.items():
        measured = [Point(r.bpp, r.psnr_db, r.ms_ssim, "") for r in found]
        points[picture][place] = _mean(measured, place[1])
    curves: list[Curve] = []
    if len(pictures) > 1:
        first, *others = points.values()
        shared = [place for place in first if all(place in other for other in others)]
        means = {
            place: _mean([points[picture][place] for picture in pictures], place[1])
            for place in shared
        }
        curves += _join(f"mean of {len(pictures)} pictures", means)
    for picture in pictures:
        curves += _join(picture, points[picture])
    return curves


def _place(run: Run) -> _Place:
    *earlier, last = [f"{path}={value}" for path, value in run.varied] or [""]
    return " ".join([run.recipe.name, *earlier]), last


def _mean(points: Sequence[Point], label: str) -> Point:
    similarities = [point.ms_ssim for point in points if point.ms_ssim is not None]
    return Point(
        statistics.fmean(point.bpp for point in points),
        statistics.fmean(point.psnr_db for point in points),
        statistics.fmean(similarities) if len(similarities) == len(points) else None,
        label,
    )


def _join(of: str, points: Mapping[_Place, Point]) -> list[Curve]:
    by_name: dict[str, list[Point]] = {}
    for (name, _), point in points.items():
        by_name.setdefault(f"{of}: {name}", []).append(point)
    return [Curve(name, tuple(found)) for name, found in by_name.items()]
