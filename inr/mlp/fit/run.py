"""What changes from block to block of a fit, and how it stands in a checkpoint."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import UsageError
from inr.mlp.fit.problem import AllLevels, Codes
from inr.mlp.fit.step import State

_RUN_NUMBERS = ("rate_scale", "step", "progress", "n_mask_updates")
_MEMBER_NUMBERS = ("kept_share", "rate_scale", "lowest_error", "best_error")


@dataclass
class Member:
    """What the host keeps of one fit of a run."""

    levels: AllLevels | None = None  # set when rounding begins
    kept_share: float = 1.0  # weights kept now, as a multiple of those kept in the end
    rate_scale: float = 1.0  # halved each time the fit collapses
    lowest_error: float = float("inf")  # of the blocks so far, forgotten slowly
    good_state: State | None = None  # after the last block near it, to go back to
    best_error: float = float("inf")
    best_params: Codes | None = None  # float weights of the best snapshot, rounded later


@dataclass
class Run:
    """One attempt at one fit or a batch of them."""

    state: State  # of one fit, or stacked
    members: list[Member]
    rate_scale: float  # 1, halved by each retry
    step: int = 0
    progress: float = 0.0  # 0..1: how far the schedule has come
    n_mask_updates: int = 0

    @property
    def is_rounding(self) -> bool:
        return self.members[0].levels is not None


def saved(run: Run) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Numbers and arrays of a run of one fit, for a checkpoint."""
    (member,) = run.members
    numbers: dict[str, Any] = {name: vars(run)[name] for name in _RUN_NUMBERS}
    numbers["member"] = {name: vars(member)[name] for name in _MEMBER_NUMBERS}
    numbers["has_levels"] = member.levels is not None
    numbers["has_best"] = member.best_params is not None
    numbers["has_good_state"] = member.good_state is not None
    leaves = jax.tree.leaves((run.state, member.levels, member.best_params, member.good_state))
    return numbers, [np.asarray(leaf) for leaf in leaves]


def restored(
    numbers: dict[str, Any],
    arrays: list[np.ndarray],
    like: State,
    names: list[str],
    trained_names: list[str],
) -> Run:
    """The inverse of `saved`.

    Args:
      like: a state with the same tensors.
      names: of all tensors in file order, in which jax does not keep them; trained_names likewise.
    Raises:
      ValueError: the arrays are those of another network.
    """
    template = (
        like,
        dict.fromkeys(trained_names, 0) if numbers["has_levels"] else None,
        like.params if numbers["has_best"] else None,
        like if numbers["has_good_state"] else None,
    )
    leaves, tree = jax.tree.flatten(template)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(like)]
    if shapes != [array.shape for array in arrays[: len(shapes)]] or len(leaves) != len(arrays):
        raise UsageError("the checkpoint has other tensors; delete it to start again")
    state, levels, best_params, good_state = jax.tree.unflatten(tree, arrays)
    member = Member(
        levels=None if levels is None else {name: levels[name] for name in trained_names},
        best_params=None if best_params is None else {name: best_params[name] for name in names},
        good_state=jax.tree.map(jnp.asarray, good_state),
        **numbers["member"],
    )
    run_numbers = {name: numbers[name] for name in _RUN_NUMBERS}
    return Run(jax.tree.map(jnp.asarray, state), [member], **run_numbers)
