"""Context model and synthesis of single latents and pixels in float32 jax, as the fit sees them."""

import jax
import jax.numpy as jnp

from inr.coders.laplace_tables import LEAST_P

Params = dict[str, jax.Array]

LOG_SCALE_RANGE = 5.0  # |log of a Laplace scale|, at most
OCTAVE_OF_SCALE = 11 / 16  # log of a scale that is an octave larger, as the fixed point has it


def soft_round(x: jax.Array, temperature: jax.Array) -> jax.Array:
    """Round softly: the identity for high temperatures, `round` for low ones."""
    floor = jnp.floor(x)
    rest = x - floor - 0.5
    return floor + 0.5 + 0.5 * jnp.tanh(rest / temperature) / jnp.tanh(0.5 / temperature)


def laplace_parameters(
    context: jax.Array, network: Params, octaves: jax.Array | int = 0
) -> tuple[jax.Array, jax.Array]:
    """mean and log of scale of each latent, in codes, f32[n_latents] each.

    Args:
      context: f32[n_taps + n_features, n_latents].
      network: tensors w0, w1, out, linear, b0, b1, b2.
      octaves: of each latent, or of all: it counts 2**-octaves for the networks.
    """
    x = context
    for layer in range(2):
        x = x + jax.nn.relu(network[f"w{layer}"] @ x + network[f"b{layer}"][:, None])
    out = network["out"] @ x + network["linear"] @ context + network["b2"][:, None]
    log_scale = out[1] + OCTAVE_OF_SCALE * octaves
    mean = out[0] * jnp.exp2(jnp.asarray(octaves, jnp.float32))
    return mean, jnp.clip(log_scale, -LOG_SCALE_RANGE, LOG_SCALE_RANGE)


def bits_of(y: jax.Array, mean: jax.Array, log_scale: jax.Array) -> jax.Array:
    """-log2 of the probability of each latent under a Laplace density over y -+ 0.5."""
    inverse = jnp.exp(-log_scale)
    d = jnp.abs(y - mean)
    near, far = jnp.exp(-jnp.abs(d - 0.5) * inverse), jnp.exp(-(d + 0.5) * inverse)
    p = jnp.where(d < 0.5, 1 - 0.5 * (near + far), 0.5 * (near - far))
    return -jnp.log2(jnp.maximum(p, LEAST_P))


def mix_features(x: jax.Array, params: Params) -> jax.Array:
    """Colours before the convolutions, f32[n_channels, n], of features f32[n_drawn, n]."""
    hidden = jax.nn.relu(params["synth_w0"] @ x + params["synth_b0"][:, None])
    return params["synth_w1"] @ hidden + params["synth_linear"] @ x + params["synth_b1"][:, None]
