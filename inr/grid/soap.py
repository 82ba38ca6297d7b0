"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", https://arxiv.org/abs/2409.11321,
Algorithm 3. Differs from the paper: tensors of more than two axes are matrices of (all axes but the
last) x (the last), vectors columns; both sides are always preconditioned; no weight decay.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

_EPS = 1e-8
_SHIFT = 1e-5  # of the mean eigenvalue
_RIGHT_TO_LEFT = [(1, 2), (0, 1)]  # two products with a vector, none of matrices


class SoapLeaf(NamedTuple):
    """State of one tensor, seen as a matrix [m, n]."""

    mean: jax.Array  # f32[m, n], of the gradient
    square: jax.Array  # f32[m, n], of the gradient in the eigenbasis
    left: jax.Array  # f32[m, m], mean of g g^T
    right: jax.Array  # f32[n, n], mean of g^T g
    left_basis: jax.Array  # f32[m, m], columns are eigenvectors of `left`
    right_basis: jax.Array  # f32[n, n]


class SoapState(NamedTuple):
    """State of the transformation."""

    step: jax.Array  # i32, steps made
    leaves: tuple[SoapLeaf, ...]


def scale_by_soap(
    b1: float = 0.95, b2: float = 0.95, every: int = 10, every_until: int = 50
) -> optax.GradientTransformation:
    """Turns gradients into SOAP's direction, of about 1 a number; the learning rate comes after.

    Args:
      b1, b2: decay of the mean and of the squares and preconditioners.
      every: steps between refreshes of the eigenbases (a QR step each, section 4.2).
      every_until: first steps, in which they are refreshed every time.
    """

    def init(params: optax.Params) -> SoapState:
        def leaf(w: jax.Array) -> SoapLeaf:
            m, n = _matrix(w).shape
            zeros = jnp.zeros((m, n), jnp.float32)
            return SoapLeaf(
                zeros,
                zeros,
                jnp.zeros((m, m), jnp.float32),
                jnp.zeros((n, n), jnp.float32),
                jnp.eye(m, dtype=jnp.float32),
                jnp.eye(n, dtype=jnp.float32),
            )

        return SoapState(jnp.int32(0), tuple(leaf(w) for w in jax.tree.leaves(params)))

    def update(
        grads: optax.Updates, state: SoapState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, SoapState]:
        leaves, tree = jax.tree_util.tree_flatten(grads)
        step = state.step + 1
        moved = [_accumulated(_matrix(g), s, b1, b2) for g, s in zip(leaves, state.leaves, strict=True)]
        is_due = (step <= every_until) | (step % every == 0)
        turned = jax.lax.cond(is_due, _refreshed, lambda each: each, tuple(moved))
        updates = [
            _direction(_matrix(g), s, step, b1, b2).reshape(g.shape)
            for g, s in zip(leaves, turned, strict=True)
        ]
        # The squares are kept after the direction was taken, in the basis that it was taken in.
        kept = tuple(_squared(_matrix(g), s, b2) for g, s in zip(leaves, turned, strict=True))
        return jax.tree_util.tree_unflatten(tree, updates), SoapState(step, kept)

    return optax.GradientTransformation(init, update)


def _matrix(w: jax.Array) -> jax.Array:
    return w.reshape(-1, 1) if w.ndim < 2 else w.reshape(-1, w.shape[-1])


def _accumulated(g: jax.Array, s: SoapLeaf, b1: float, b2: float) -> SoapLeaf:
    return s._replace(
        mean=b1 * s.mean + (1 - b1) * g,
        left=b2 * s.left + (1 - b2) * g @ g.T,
        right=b2 * s.right + (1 - b2) * g.T @ g,
    )


def _rotated(g: jax.Array, s: SoapLeaf) -> jax.Array:
    return s.left_basis.T @ g @ s.right_basis


def _squared(g: jax.Array, s: SoapLeaf, b2: float) -> SoapLeaf:
    return s._replace(square=b2 * s.square + (1 - b2) * _rotated(g, s) ** 2)


def _direction(g: jax.Array, s: SoapLeaf, step: jax.Array, b1: float, b2: float) -> jax.Array:
    t = step.astype(jnp.float32)
    square = (b2 * s.square + (1 - b2) * _rotated(g, s) ** 2) / (1 - b2**t)
    mean = _rotated(s.mean, s) / (1 - b1**t)
    direction = mean / (jnp.sqrt(square) + _EPS)
    # A young basis turns faster than the squares follow; without a limit the first steps explode.
    direction = direction / jnp.maximum(1.0, jnp.sqrt(jnp.mean(direction**2)))
    return s.left_basis @ direction @ s.right_basis.T


def _refreshed(leaves: tuple[SoapLeaf, ...]) -> tuple[SoapLeaf, ...]:
    """One step of orthogonal iteration for each basis, with the squares in the same order."""
    matrices = [side for s in leaves for side in ((s.left, s.left_basis), (s.right, s.right_basis))]
    turned = iter(_iterated(matrices))
    done = []
    for s in leaves:
        (left_order, left_basis), (right_order, right_basis) = next(turned), next(turned)
        square = s.square[left_order][:, right_order]
        done.append(s._replace(square=square, left_basis=left_basis, right_basis=right_basis))
    return tuple(done)


def _iterated(
    matrices: list[tuple[jax.Array, jax.Array]],
) -> list[tuple[jax.Array, jax.Array]]:
    """For each (matrix, basis) the order of the basis by eigenvalue, and the next basis.

    All at once, padded to the largest: a loop over columns is cheap only for many matrices.
    """
    size = max(basis.shape[0] for _, basis in matrices)
    products, orders = [], []
    for matrix, basis in matrices:
        n = basis.shape[0]
        product = matrix @ basis
        values = jnp.sum(basis * product, axis=0)  # estimates of the eigenvalues
        order = jnp.argsort(-values)
        # The shift leaves the eigenvectors, and columns of a young, singular matrix independent.
        shift = _SHIFT * jnp.mean(values) + _EPS**2
        columns = (product + shift * basis)[:, order]
        columns = columns / jnp.sqrt(jnp.sum(columns**2, axis=0, keepdims=True) + _EPS**4)
        products.append(jnp.eye(size).at[:n, :n].set(columns))
        orders.append(order)
    bases = _orthonormal(jnp.stack(products))
    return [
        (order, basis[: order.size, : order.size])
        for order, basis in zip(orders, bases, strict=True)
    ]


def _orthonormal(columns: jax.Array) -> jax.Array:
    """Gram-Schmidt, each column twice, of f32[n, size, size]; in plain operations, since LAPACK's
    threads and those of XLA's loop can wait for each other for ever."""

    def one(j: int, done: jax.Array) -> jax.Array:
        v = jax.lax.dynamic_index_in_dim(done, j, axis=2, keepdims=False)  # [n, size]
        before = done * (jnp.arange(done.shape[2]) < j)[None, None]
        for _ in range(2):
            v = v - jnp.einsum("nij,nkj,nk->ni", before, before, v, optimize=_RIGHT_TO_LEFT)
            v = v / jnp.sqrt(jnp.sum(v**2, axis=1, keepdims=True) + _EPS**4)
        return jax.lax.dynamic_update_index_in_dim(done, v, j, axis=2)

    made: jax.Array = jax.lax.fori_loop(0, columns.shape[2], one, columns)
    return made
