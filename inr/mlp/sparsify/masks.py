"""What sparsifiers share: how many weights each matrix keeps, the masks with exactly that many, and
the part of RigL, SET and SNFS that is the same.

Counts are whole numbers that add up exactly, by construction and not by rounding.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inr.errors import UsageError
from inr.mlp.fields.protocol import Field, Shapes, n_weights
from inr.mlp.sparsify.protocol import Sparsifier

if TYPE_CHECKING:
    import jax


def check_settings(
    sparsity: float, *, drop: float = 0.0, n_updates: int = 1, stop: float = 1.0
) -> None:
    """Raise ValueError for settings that no sparsifier can follow."""
    if not 0 <= sparsity < 1:  # also true for NaN, as below
        raise UsageError(
            f"sparsify.sparsity={sparsity}: expected at least 0 and below 1, such as 0.9 to keep "
            "a tenth of the weights"
        )
    if not 0 <= drop < 1:
        raise UsageError(
            f"sparsify.drop={drop}: expected at least 0 and below 1, the fraction of kept weights "
            "that the first update moves"
        )
    if n_updates < 1:
        raise UsageError(f"sparsify.n_updates={n_updates}: at least 1 update is needed")
    if not 0 < stop <= 1:
        raise UsageError(
            f"sparsify.stop={stop}: expected above 0 and at most 1, the fraction of the fit after "
            "which masks stay as they are"
        )


def uniform_counts(matrices: Shapes, sparsity: float) -> dict[str, int]:
    """Keep the same fraction of the weights of each matrix."""
    return _split_counts(matrices, sparsity, [math.prod(shape) for shape in matrices.values()])


def erk_counts(matrices: Shapes, sparsity: float) -> dict[str, int]:
    """Keep weights of each matrix in proportion to its rows and columns together.

    The Erdos-Renyi-kernel densities of Evci et al., https://arxiv.org/abs/1911.11134, section 3:
    a matrix has a density of epsilon * (n_in + n_out) / (n_in * n_out), 1 where that is larger,
    with the epsilon at which all counts add up. Thin matrices stay dense first.
    """
    return _split_counts(matrices, sparsity, [sum(shape) for shape in matrices.values()])


def _split_counts(matrices: Shapes, sparsity: float, shares: list[int]) -> dict[str, int]:
    if not matrices:
        return {}
    total = round((1 - sparsity) * n_weights(matrices))
    room = np.array([math.prod(shape) for shape in matrices.values()])
    least = 1 if total >= len(matrices) else 0  # a matrix without weights would cut the network
    counts = split_count(total, np.array(shares, float), room, np, least)
    return dict(zip(matrices, counts.tolist(), strict=True))


def split_count(total: Any, shares: Any, room: Any, xp: Any, least: int = 0) -> Any:
    """Split a count in proportion to `shares`; what has no room goes to the others.

    Fullest first: once the first one is not overfull, none after it is, so that each sees the
    surplus of all that are. The last one takes what is left, hence the sum is exact.

    Args:
      total: int[], at most the sum of `room`.
      shares: float[n], all above 0.
      room: int[n], the most that each may get, at least `least`.
      xp: numpy, or jax.numpy, where total, shares and room may be traced.
      least: what each gets at least; n * least is at most the total.
    Returns:
      int[n] with that sum.
    """
    order = xp.argsort(-shares / room.astype(float), stable=True)
    shares, room = shares[order], room[order]
    left, given = xp.asarray(total), []
    for i in range(len(order)):
        n_after = len(order) - 1 - i
        quota = xp.rint(left.astype(float) * shares[i] / xp.sum(shares[i:])).astype(int)
        at_least = xp.maximum(least, left - xp.sum(room[i + 1 :]))
        at_most = xp.minimum(room[i], left - least * n_after)
        given.append(xp.clip(quota, at_least, at_most))
        left = left - given[-1]
    return xp.stack(given)[xp.argsort(order)]


def keep_counts(sparsifier: Sparsifier, matrices: Shapes) -> dict[str, int]:
    """Count the weights of each matrix that are kept at the end; {} where none is masked."""
    return {} if sparsifier.masks is None else sparsifier.masks.keep_counts(matrices)


def n_kept_weights(shapes: Shapes, keep_counts: Mapping[str, int]) -> int:
    """Count how many numbers may be other than zero: keep_counts[name] of each masked tensor, and
    all of the others."""
    n_masked = n_weights({name: shapes[name] for name in keep_counts})
    return n_weights(shapes) - n_masked + sum(keep_counts.values())


def draw_masks(
    rng: np.random.Generator, shapes: Shapes, counts: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Draw masks that keep counts[name] weights of each tensor."""
    return {
        name: (rng.permutation(int(np.prod(shapes[name]))) < count).reshape(shapes[name])
        for name, count in counts.items()
    }


def top_mask(scores: "jax.Array", count: "jax.Array | int") -> "jax.Array":
    """True for the `count` largest scores, the first of equal ones; NaN counts as smallest.

    Args:
      scores: f32[...].
      count: i32[], 0..scores.size, may be traced.
    Returns:
      bool[...], exactly `count` of them True.
    """
    import jax.numpy as jnp

    # A weight is kept where its rank, argsort(argsort(-scores)), is below the count. Writing to
    # the places in sorted order is the same without a second sort.
    order = jnp.argsort(-scores.reshape(-1), stable=True)
    is_kept = jnp.arange(scores.size, dtype=jnp.int32) < count
    return jnp.zeros(scores.size, bool).at[order].set(is_kept).reshape(scores.shape)


def magnitude_of_kept(mask: "jax.Array", weights: "jax.Array") -> "jax.Array":
    """Scores to drop by: |weight|, and less than any of them where the mask is False."""
    import jax.numpy as jnp

    return jnp.where(mask, jnp.abs(weights), np.float32(-1))


def move_mask(
    mask: "jax.Array",
    weights: "jax.Array",
    scores: "jax.Array",
    n_survivors: "jax.Array",
    count: "jax.Array",
) -> "jax.Array":
    """Keep the n_survivors largest weights of the mask, then add those of highest score.

    A weight that is dropped may be added again at once: it then was never zero.

    Args:
      mask: bool[...], at least n_survivors of them True.
      weights, scores: f32[...].
      n_survivors, count: i32[], n_survivors <= count.
    Returns:
      bool[...], exactly `count` of them True.
    """
    import jax.numpy as jnp

    survives = top_mask(magnitude_of_kept(mask, weights), n_survivors)
    return top_mask(jnp.where(survives, np.float32(np.inf), scores), count)


@dataclass(frozen=True)
class MovedMasks:
    """What RigL, SET and SNFS share: they are sparse from the first step to the last, and move some
    of the kept weights at each update, fewer and fewer."""

    sparsity: float = 0.9  # fraction of exact zeros among the weights of all matrices
    erk: bool = True  # thin matrices denser (Erdos-Renyi kernel); False: the same density in all
    drop: float = 0.3  # fraction of the kept weights that the first update moves; cosine to 0
    n_updates: int = 75  # every 100 of 10,000 steps, as Evci et al. do
    stop: float = 0.75  # fraction of the fit after which the masks stay as they are

    def __post_init__(self) -> None:
        check_settings(self.sparsity, drop=self.drop, n_updates=self.n_updates, stop=self.stop)

    @property
    def masks(self) -> Self:
        return self

    def for_training(self) -> Self:
        return replace(self, sparsity=0.0)

    def prepare(self, net: Field, n_channels: int) -> Field:
        return net

    def keep_counts(self, matrices: Shapes) -> dict[str, int]:
        return (erk_counts if self.erk else uniform_counts)(matrices, self.sparsity)

    def start(self, rng: np.random.Generator, matrices: Shapes) -> dict[str, np.ndarray]:
        return draw_masks(rng, matrices, self.keep_counts(matrices))

    def count_dropped(self, progress: "jax.Array", count: "jax.Array") -> "jax.Array":
        """Count how many of `count` kept weights move: the fraction `drop` at the beginning of the
        fit, decayed by a cosine to none at `stop`. i32[]"""
        import jax.numpy as jnp

        share_left = (1 + jnp.cos(np.float32(np.pi) * jnp.minimum(progress / self.stop, 1))) / 2
        return jnp.floor(self.drop * share_left * count.astype(jnp.float32)).astype(jnp.int32)
