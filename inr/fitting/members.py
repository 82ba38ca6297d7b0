"""Members of a fit, along the leading axis of all arrays of a state.

A member is one fit of a batch, or one of several starts. Leaves without any axis, like counts of
steps, are common to all. Arrays of jax stay such, and those of numpy too: the host's f64 must not
become f32.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")
State = TypeVar("State")


def over_members(
    fn: Callable[..., tuple[State, Any]], n_members: int, is_shared: tuple[bool, ...]
) -> Callable[..., tuple[State, Any]]:
    """Make a function of all members of a function of one.

    The only place that knows of a batch of one: under vmap it runs a third slower than by itself.

    Args:
      fn: (state, *arguments) of one member -> (new state, what else), in jax.
      is_shared: which of the arguments all members have in common; the others have the axis.
    """

    def apply(state: State, *arguments: Any) -> tuple[State, Any]:
        axes = jax.tree.map(lambda leaf: 0 if jnp.ndim(leaf) else None, state)
        in_axes = [axes, *(None if shared else 0 for shared in is_shared)]
        if n_members > 1:
            made: tuple[State, Any] = jax.vmap(fn, in_axes, (axes, 0))(state, *arguments)
            return made
        leaves, tree = jax.tree.flatten(state)
        has_axis = [jnp.ndim(leaf) > 0 for leaf in leaves]
        one = [leaf[0] if has else leaf for leaf, has in zip(leaves, has_axis, strict=True)]
        own = [
            x if shared else jax.tree.map(lambda leaf: leaf[0], x)
            for x, shared in zip(arguments, is_shared, strict=True)
        ]
        new, metrics = fn(jax.tree.unflatten(tree, one), *own)
        leaves, tree = jax.tree.flatten(new)
        leaves = [leaf[None] if has else leaf for leaf, has in zip(leaves, has_axis, strict=True)]
        return jax.tree.unflatten(tree, leaves), jax.tree.map(lambda leaf: leaf[None], metrics)

    return apply


def stack_members(states: list[T]) -> T:
    """Put states of one member each, without the axis, into one with it."""
    stacked: T = jax.tree.map(lambda *leaves: _numpy_of(leaves[0]).stack(leaves), *states)
    return stacked


def join_members(states: list[T]) -> T:
    """Put states of some members each into one; what they have in common is taken from the first.

    A single one is returned as it is."""
    if len(states) == 1:
        return states[0]
    joined: T = jax.tree.map(
        lambda *leaves: (
            _numpy_of(leaves[0]).concatenate(leaves) if np.ndim(leaves[0]) else leaves[0]
        ),
        *states,
    )
    return joined


def pick_members(state: T, which: np.ndarray | slice | int) -> T:
    """Pick members by their places; a single number takes the axis away."""
    picked: T = jax.tree.map(lambda leaf: leaf[which] if np.ndim(leaf) else leaf, state)
    return picked


def choose_members(is_first: np.ndarray, first: T, second: T) -> T:
    """Take each member from one of two states; is_first: bool[members]."""
    if is_first.all() or not is_first.any():
        return first if is_first.all() else second

    def choose(a: Any, b: Any) -> Any:
        if not np.ndim(a):
            return a
        return _numpy_of(a).where(is_first.reshape(-1, *[1] * (np.ndim(a) - 1)), a, b)

    chosen: T = jax.tree.map(choose, first, second)
    return chosen


def _numpy_of(leaf: Any) -> Any:
    return jnp if isinstance(leaf, jax.Array) else np
