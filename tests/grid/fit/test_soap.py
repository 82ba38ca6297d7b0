"""soap.py against its algorithm written once more in float64, and by what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inr.grid.fit.soap import scale_by_soap

SOAP = scale_by_soap()
_update = jax.jit(SOAP.update)
# Gradients of size 1 / 100, as the clipped ones of a fit.


def gradients(n, *shape, seed=0):
    return (0.01 * np.random.default_rng(seed).normal(size=(n, *shape))).astype(np.float32)


def updates_of(grads, transformation=None):
    """What each step makes of f32[steps, ...] gradients by name, and the last state."""
    update = _update if transformation is None else jax.jit(transformation.update)
    state = SOAP.init({name: jnp.asarray(each[0]) for name, each in grads.items()})
    told = []
    for i in range(len(next(iter(grads.values())))):
        updates, state = update({name: jnp.asarray(g[i]) for name, g in grads.items()}, state)
        told.append(jax.tree.map(np.asarray, updates))
    return told, state


def root_mean_square(x):
    return float(np.sqrt(np.mean(np.square(x))))


def by_the_book(grads, b1=0.95, b2=0.95, every=10, every_until=50):
    """Algorithm 3 with LAPACK in float64, for one matrix; the norm limited as soap.py says."""
    rows, columns = grads[0].shape
    mean, square = np.zeros((rows, columns)), np.zeros((rows, columns))
    sides = [np.zeros((rows, rows)), np.zeros((columns, columns))]
    bases = [np.eye(rows), np.eye(columns)]
    for step, g in enumerate(grads.astype(np.float64), 1):
        mean = b1 * mean + (1 - b1) * g
        sides = [b2 * a + (1 - b2) * b for a, b in zip(sides, (g @ g.T, g.T @ g), strict=True)]
        if step <= every_until or step % every == 0:
            for axis in range(2):
                values = np.sum(bases[axis] * (sides[axis] @ bases[axis]), axis=0)
                order = np.argsort(-values)
                bases[axis] = np.linalg.qr(sides[axis] @ bases[axis][:, order])[0]
                square = np.take(square, order, axis)
        square = b2 * square + (1 - b2) * (bases[0].T @ g @ bases[1]) ** 2
        direction = bases[0].T @ mean @ bases[1] / (1 - b1**step)
        direction /= np.sqrt(square / (1 - b2**step)) + 1e-8
        direction /= max(1.0, root_mean_square(direction))
        yield bases[0] @ direction @ bases[1].T


def test_a_second_implementation_agrees():
    grads = gradients(80, 5, 5)
    told, _ = updates_of({"w": grads})
    for step, (ours, theirs) in enumerate(zip(told, by_the_book(grads), strict=True)):
        # f32 bases, and the shift of singular matrices, in which the first step is 1e4 worse.
        assert np.allclose(ours["w"], theirs, atol=1e-2 if step < 3 else 2e-4), step


@pytest.mark.parametrize("g", [2.0, -0.03])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)])
def test_one_number_moves_by_its_sign(shape, g):
    told, _ = updates_of({"w": np.full((3, *shape), g, np.float32)})
    for updates in told:
        assert updates["w"].shape == shape
        assert np.allclose(updates["w"], np.sign(g), atol=1e-5)  # eps / |g|


def test_one_number_is_adam():
    g = gradients(30, 1, 1)
    told, _ = updates_of({"w": g})
    adam = optax.scale_by_adam(0.95, 0.95, eps=1e-8)
    state = adam.init(jnp.zeros((1, 1)))
    for each, ours in zip(g, told, strict=True):
        update, state = adam.update(jnp.asarray(each), state)
        assert np.allclose(ours["w"], np.clip(update, -1, 1), atol=1e-5)  # f32


def test_the_first_direction_of_a_diagonal_is_its_signs():
    g = np.diag([0.3, -0.02, 0.1]).astype(np.float32)  # its eigenbases are the axes
    told, _ = updates_of({"w": g[None]})
    assert np.allclose(told[0]["w"], np.diag([1, -1, 1]), atol=1e-5)


def test_without_a_better_basis_the_first_direction_is_that_of_adam():
    g = np.array([[0.03, -0.04], [0.04, 0.03]], np.float32)  # g g^T is 1/400 of the unit matrix
    told, _ = updates_of({"w": g[None]})
    assert np.allclose(told[0]["w"], np.sign(g), atol=1e-4)  # f32


def test_a_constant_vector_gradient_moves_along_itself_by_its_length_of_one():
    g = np.array([0.03, -0.04, 0.0, 0.12], np.float32)  # length 0.13
    told, _ = updates_of({"w": np.tile(g, (20, 1))})
    for updates in told:
        assert updates["w"] @ g / 0.13 == pytest.approx(1, abs=1e-3)


def test_bases_stay_orthonormal():
    shapes = {"matrix": (7, 3), "vector": (5,), "number": (), "tensor": (2, 2, 4)}
    grads = {
        name: gradients(400, *shape, seed=i) * np.float32(10.0 ** -(2 * i))
        for i, (name, shape) in enumerate(shapes.items())
    }
    grads["matrix"][:, 0] = 0  # singular
    _, state = updates_of(grads)
    for bases in (state.left_basis, state.right_basis):
        products = np.einsum("nij,nik->njk", bases, bases)
        assert np.allclose(products, np.eye(7), atol=2e-6)  # f32, 7 products


def test_bases_converge_to_eigenvectors():
    rng = np.random.default_rng(1)
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    values = np.array([1.0, 4.0, 9.0, 16.0])
    # Rows of a gradient cycle through sqrt(value) q_i: the mean of g^T g settles.
    g = (q * np.sqrt(values)).T.astype(np.float32) * np.float32(0.01)
    _, state = updates_of({"w": np.tile(g, (400, 1, 1))})
    cosines = np.abs(q[:, ::-1].T @ np.asarray(state.right_basis[0]))  # the largest first
    assert np.allclose(cosines, np.eye(4), atol=1e-4)  # f32


def test_no_direction_is_longer_than_one_a_number():
    shapes = {"square": (6, 6), "tall": (6, 2), "wide": (1, 5), "vector": (4,), "number": ()}
    grads = {name: gradients(120, *shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}
    for each in grads.values():
        each[50:60] *= 1000  # a burst that the squares do not know yet
        each[90:] *= 1e-6
    told, _ = updates_of(grads)
    for updates in told:
        for update in updates.values():
            assert np.isfinite(update).all()
            assert root_mean_square(update) <= 1 + 1e-5


def test_no_gradient_no_update():
    told, _ = updates_of({"w": np.zeros((60, 3, 2), np.float32), "b": gradients(60, 4)})
    for updates in told:
        assert not updates["w"].any()


def test_a_large_tensor_beside_changes_nothing():
    small = gradients(80, 4, 4, seed=2)
    alone, _ = updates_of({"small": small})
    beside, _ = updates_of({"large": gradients(80, 9, 20, seed=3), "small": small})
    for step, (one, other) in enumerate(zip(alone, beside, strict=True)):
        # The shift is of the mean eigenvalue, zeros of the padding included.
        atol = 1e-2 if step < 3 else 1e-4
        assert np.allclose(one["small"], other["small"], atol=atol), step


def test_equal_tensors_get_equal_updates():
    g = gradients(20, 3, 4)
    told, _ = updates_of({"a": g, "b": g})
    for updates in told:
        assert np.array_equal(updates["a"], updates["b"])


def test_scale_of_a_gradient_does_not_matter():
    g = gradients(60, 4, 4)
    ones, _ = updates_of({"w": g})
    tens, _ = updates_of({"w": 16 * g})
    for step, (one, ten) in enumerate(zip(ones, tens, strict=True)):
        assert np.allclose(one["w"], ten["w"], atol=1e-2 if step < 3 else 1e-4), step  # eps


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 5)])
def test_tensors_are_matrices_of_their_last_axis(shape):
    g = gradients(20, *shape)
    tensors, _ = updates_of({"w": g})
    matrices, _ = updates_of({"w": g.reshape(20, -1, shape[-1])})
    for tensor, matrix in zip(tensors, matrices, strict=True):
        assert np.array_equal(tensor["w"].reshape(matrix["w"].shape), matrix["w"])


def test_bases_turn_only_when_due():
    rarely = scale_by_soap(every=4, every_until=2)
    grads = gradients(9, 3, 3)
    told = []
    for n in range(1, 10):
        _, state = updates_of({"w": grads[:n]}, rarely)
        told.append(np.asarray(state.left_basis))
    turned = [
        n for n in range(2, 10) if not np.array_equal(told[n - 1], told[n - 2])
    ]  # steps, the first left out
    assert turned == [2, 4, 8]


def test_scan_gives_what_single_steps_give():
    grads = {"w": gradients(12, 3, 3)}
    told, _ = updates_of(grads)

    def body(state, g):
        updates, state = SOAP.update(g, state)
        return state, updates

    state = SOAP.init({"w": jnp.zeros((3, 3))})
    _, scanned = jax.jit(lambda state: jax.lax.scan(body, state, grads))(state)
    for i in range(12):
        assert np.allclose(scanned["w"][i], told[i]["w"], atol=1e-2 if i < 3 else 1e-4)


def test_members_of_a_batch_do_not_see_each_other():
    grads = {"w": np.stack([gradients(12, 3, 3, seed=i) for i in range(2)], 1)}
    init, update = jax.vmap(SOAP.init), jax.jit(jax.vmap(SOAP.update))
    state = init({"w": jnp.zeros((2, 3, 3))})
    told = []
    for i in range(12):
        updates, state = update({"w": jnp.asarray(grads["w"][i])}, state)
        told.append(np.asarray(updates["w"]))
    for member in range(2):
        alone, _ = updates_of({"w": grads["w"][:, member]})
        for i in range(12):
            assert np.allclose(told[i][member], alone[i]["w"], atol=1e-2 if i < 3 else 1e-4)


def test_a_badly_conditioned_quadratic_is_minimised_faster_than_by_adam():
    # loss = |A W B - T|^2 / 2 with rotated A and B of condition 100: Adam's axes do not fit.
    rng = np.random.default_rng(0)

    def rotated(n):
        u, v = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
        return jnp.asarray((u * np.geomspace(1, 0.01, n)) @ v, jnp.float32)

    a, b = rotated(8), rotated(6)
    goal = jnp.asarray(rng.normal(size=(8, 6)), jnp.float32)

    def loss(w):
        return 0.5 * jnp.sum((a @ (w - goal) @ b) ** 2)

    def fitted(direction, rate, n=300):
        def body(carry, i):
            w, state = carry
            updates, state = direction.update(jax.grad(loss)(w), state)
            w = w - rate * 0.5 * (1 + jnp.cos(jnp.pi * i / n)) * updates
            return (w, state), None

        w = jnp.zeros_like(goal)
        steps = jnp.arange(n, dtype=jnp.float32)
        (w, _), _ = jax.jit(lambda w: jax.lax.scan(body, (w, direction.init(w)), steps))(w)
        return float(loss(w))

    rates = (0.01, 0.03, 0.1)
    adam = min(fitted(optax.scale_by_adam(), rate) for rate in rates)
    soap = min(fitted(SOAP, rate) for rate in rates)
    assert soap < adam / 10
