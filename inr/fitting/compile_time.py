"""How long this machine takes to compile a fit, estimated from a small program before it begins."""

import time

# Seconds of a fit's program over those of the small one; measured on two cores of an AMD EPYC.
OF_MLP, OF_GRID = 17.0, 20.0
_CAUTION = 0.7  # of what is expected: a budget that can be kept must not be refused


def seconds_to_compile(times: float) -> float:
    """Compile a small program, and return the seconds of one that takes so many times as long.

    It is about a quarter of a second on two cores, and estimated cautiously: a compilation cache
    may hold the larger program and not the small one.
    """
    import jax
    import jax.numpy as jnp

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for w in weights:
            x = jnp.sin(w @ x)
        return jnp.mean(x**2)

    def step(weights: list[jax.Array], x: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        slopes = jax.grad(loss)(weights, x)
        return [w - 0.1 * g for w, g in zip(weights, slopes, strict=True)], jnp.sum(slopes[0])

    weights, xs = [jnp.ones((8, 8))] * 3, jnp.ones((4, 8, 16))
    started_at = time.monotonic()
    jax.block_until_ready(jax.jit(lambda w, x: jax.lax.scan(step, w, x))(weights, xs))  # type: ignore[no-untyped-call]
    return _CAUTION * times * (time.monotonic() - started_at)
