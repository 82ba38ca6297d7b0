"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", https://arxiv.org/abs/2409.11321,
Algorithm 3. Differs from the paper: tensors of more than two axes are matrices of (all axes but the
last) x (the last), vectors columns; both sides are always preconditioned; no weight decay; no
direction has a root mean square above 1, since the squares lag behind a young basis, and the first
steps would explode.

All tensors are padded to one size and treated as one array f32[tensors, size, size]: they are
small, and so are a few operations on all of them, to run and above all to compile.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

_EPS = 1e-8
_LEAST = float(np.finfo(np.float32).tiny)
_SHIFT = 1e-5  # of the mean eigenvalue
_RIGHT_TO_LEFT: list[tuple[int, ...]] = [
    (1, 2),
    (0, 1),
]  # two products with a vector, none of matrices


class SoapState(NamedTuple):
    """State of the transformation; all f32[tensors, size, size] but for the step."""

    step: jax.Array  # i32, steps made
    mean: jax.Array  # of the gradients
    square: jax.Array  # of the gradients in the eigenbases
    left: jax.Array  # mean of g g^T
    right: jax.Array  # mean of g^T g
    left_basis: jax.Array  # columns are eigenvectors of `left`
    right_basis: jax.Array


def scale_by_soap(
    b1: float = 0.95, b2: float = 0.95, every: int = 10, every_until: int = 50
) -> optax.GradientTransformation:
    """Turn gradients into SOAP's direction, of about 1 a number; the learning rate comes after.

    Args:
      b1, b2: decay of the mean and of the squares and preconditioners.
      every: steps between refreshes of the eigenbases, a step of orthogonal iteration each
        (section 4.2).
      every_until: first steps, in which they are refreshed every time.
    """

    def init(params: optax.Params) -> SoapState:
        # As few operations of jax as can be: outside a program each costs milliseconds.
        shapes = [_matrix(leaf).shape for leaf in jax.tree.leaves(params)]
        size = max(map(max, shapes))
        zeros = jnp.zeros((len(shapes), size, size))
        basis = jnp.asarray(np.broadcast_to(np.eye(size, dtype=np.float32), zeros.shape))
        return SoapState(jnp.int32(0), zeros, zeros, zeros, zeros, basis, basis)

    def update(
        grads: optax.Updates, state: SoapState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, SoapState]:
        leaves, tree = jax.tree_util.tree_flatten(grads)
        g, n_numbers = _pad(leaves)
        step = state.step + 1
        state = state._replace(
            step=step,
            mean=b1 * state.mean + (1 - b1) * g,
            left=b2 * state.left + (1 - b2) * g @ g.mT,
            right=b2 * state.right + (1 - b2) * g.mT @ g,
        )
        is_due = (step <= every_until) | (step % every == 0)
        state = jax.lax.cond(is_due, _refresh, lambda same: same, state)
        rotated = state.left_basis.mT @ g @ state.right_basis
        square = b2 * state.square + (1 - b2) * rotated**2
        t = step.astype(jnp.float32)
        mean = state.left_basis.mT @ state.mean @ state.right_basis / (1 - b1**t)
        direction = mean / (jnp.sqrt(square / (1 - b2**t)) + _EPS)
        mean_square = jnp.sum(direction**2, axis=(1, 2)) / n_numbers
        direction = direction / jnp.sqrt(jnp.maximum(1.0, mean_square))[:, None, None]
        turned_back = state.left_basis @ direction @ state.right_basis.mT
        updates = [
            each[: matrix.shape[0], : matrix.shape[1]].reshape(leaf.shape)
            for each, matrix, leaf in zip(turned_back, map(_matrix, leaves), leaves, strict=True)
        ]
        return jax.tree_util.tree_unflatten(tree, updates), state._replace(square=square)

    return optax.GradientTransformation(init, update)


def _matrix(w: jax.Array) -> jax.Array:
    return w.reshape(-1, 1) if w.ndim < 2 else w.reshape(-1, w.shape[-1])


def _pad(leaves: list[jax.Array]) -> tuple[jax.Array, np.ndarray]:
    """Return all tensors as f32[tensors, size, size] with zeros beyond them; and their sizes,
    f32."""
    matrices = [_matrix(leaf) for leaf in leaves]
    size = max(max(matrix.shape) for matrix in matrices)
    padded = [
        jnp.pad(matrix, ((0, size - matrix.shape[0]), (0, size - matrix.shape[1])))
        for matrix in matrices
    ]
    return jnp.stack(padded), np.array([leaf.size for leaf in leaves], np.float32)


def _refresh(state: SoapState) -> SoapState:
    """One step of orthogonal iteration for each basis, with the squares in the same order."""
    matrices = jnp.concatenate([state.left, state.right])
    bases = jnp.concatenate([state.left_basis, state.right_basis])
    products = matrices @ bases
    values = jnp.sum(bases * products, axis=1)  # [2 tensors, size], estimates of the eigenvalues
    order = jnp.argsort(-values, axis=1)
    # The shift leaves the eigenvectors, and keeps the columns of singular matrices independent;
    # beyond a tensor's own size the matrices are zero.
    shift = _SHIFT * jnp.mean(values, axis=1) + _EPS**2
    columns = products + shift[:, None, None] * bases
    columns = jnp.take_along_axis(columns, order[:, None, :], axis=2)
    left, right = jnp.split(_orthonormal(columns), 2)
    left_order, right_order = jnp.split(order, 2)
    square = jnp.take_along_axis(state.square, left_order[:, :, None], axis=1)
    square = jnp.take_along_axis(square, right_order[:, None, :], axis=2)
    return state._replace(square=square, left_basis=left, right_basis=right)


def _orthonormal(columns: jax.Array) -> jax.Array:
    """Gram-Schmidt, each column twice, of f32[n, size, size]; in plain operations, since LAPACK's
    threads and those of XLA's loop can wait for each other for ever."""

    def one(j: jax.Array, done: jax.Array) -> jax.Array:
        v = _unit(jax.lax.dynamic_index_in_dim(done, j, axis=2, keepdims=False))  # [n, size]
        is_before = (jnp.arange(done.shape[2]) < j).astype(jnp.float32)
        before = done * is_before[None, None]
        for _ in range(2):
            v = _unit(v - jnp.einsum("nij,nkj,nk->ni", before, before, v, optimize=_RIGHT_TO_LEFT))
        replaced: jax.Array = jax.lax.dynamic_update_index_in_dim(done, v, j, axis=2)
        return replaced

    made: jax.Array = jax.lax.fori_loop(0, columns.shape[2], one, columns)
    return made


def _unit(v: jax.Array) -> jax.Array:
    largest = jnp.max(jnp.abs(v), axis=1, keepdims=True)
    v = v / jnp.maximum(largest, _LEAST)  # so that no square underflows
    unit: jax.Array = v / jnp.sqrt(jnp.maximum(jnp.sum(v**2, axis=1, keepdims=True), _EPS))
    return unit
