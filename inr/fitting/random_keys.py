"""Keys of random numbers: one a fit, folded with start, step and purpose: none serves twice.

A key travels through programs as its bits, u32[2], as any other array of a fit's state. The
generator is named here, since the caller's default may be another one.
"""

import jax
import jax.numpy as jnp
import numpy as np

_GENERATOR = "threefry2x32"

# What the random numbers of a step are for.
FOR_NOISE, FOR_MASKS = 0, 1


def seed_key(seed: int) -> jax.Array:
    """Make the key that jax.random.key makes of a seed, 0..2**32 - 1, where the caller has not set
    jax_random_seed_offset."""
    bits = jnp.asarray(np.array([0, seed], np.uint32))
    key: jax.Array = jax.random.wrap_key_data(bits, impl=_GENERATOR)
    return key


def fit_key(seed: int, start: int) -> jax.Array:
    """Make the key of a fit.

    Args:
      seed: 0..2**32 - 1.
      start: which of several first weights it is.
    Returns:
      u32[2].
    """
    return jax.random.key_data(jax.random.fold_in(seed_key(seed), start))


def step_key(fit_key: jax.Array, step: jax.Array, purpose: int) -> jax.Array:
    """Make the key of one step for one purpose: FOR_NOISE or FOR_MASKS. step: u32[]."""
    key = jax.random.wrap_key_data(fit_key, impl=_GENERATOR)
    return jax.random.fold_in(jax.random.fold_in(key, step), purpose)
