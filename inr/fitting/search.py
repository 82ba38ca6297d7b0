"""Bisection: the place from which on something holds no longer."""

from collections.abc import Callable


def bisect(
    is_low: Callable[[float], bool | None], *, low: float, high: float, n_halvings: int
) -> tuple[float, float]:
    """Halve a bracket again and again.

    Args:
      is_low: whether a number lies below the place that is sought; None ends the search, where
        the time is over or what was tried is good enough. Asked once a halving, of the middle.
      low, high: the bracket; it is taken for granted that low is below the place and high is not.
    Returns:
      The last bracket, high - low divided by 2**n_halvings.
    """
    for _ in range(n_halvings):
        middle = (low + high) / 2
        answer = is_low(middle)
        if answer is None:
            break
        low, high = (middle, high) if answer else (low, middle)
    return low, high


def bisect_integers(
    is_low: Callable[[int], bool | None], *, low: int, high: int
) -> tuple[int, int]:
    """Halve a bracket of integers until they are neighbours; see `bisect`."""
    while high - low > 1:
        middle = (low + high) // 2
        answer = is_low(middle)
        if answer is None:
            break
        low, high = (middle, high) if answer else (low, middle)
    return low, high
