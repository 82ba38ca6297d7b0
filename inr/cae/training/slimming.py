"""Lambda scheduling of SlimCAE: which lambda each width of a slimmable model is to be trained for.

Yang et al., "Slimmable compressive autoencoders for practical neural image compression", CVPR 2021,
Section 4.2. All widths begin with the lambda of the widest. From the widest on, the lambdas of all
narrower ones are raised step by step as long as the line from one width to the next becomes flatter
in PSNR over rate: a narrow network is best used at rates it can serve.
"""

from collections.abc import Callable, Sequence

Point = tuple[float, float]  # bpp, PSNR in dB

_FACTOR = 1.25  # of lambda a try: 1 / 0.8, as the paper's lambda weighs the distortion
_MOST_TRIES = 7  # for each width


def scheduled_lambdas(
    first: float,
    n_widths: int,
    train_on: Callable[[Sequence[float]], Sequence[Point]],
) -> tuple[float, ...]:
    """The lambdas of all widths, the narrowest first.

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
    """dB a bit from one width to the next wider; where that costs no bits it counts as endless."""
    (low_bpp, low_db), (high_bpp, high_db) = points[narrower], points[narrower + 1]
    return (high_db - low_db) / (high_bpp - low_bpp) if high_bpp > low_bpp else float("inf")
