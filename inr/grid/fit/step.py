"""One step of the fit of a latent grid, and the jitted loop around it.

Order of one step: round the latents softly, add noise, round softly again; draw them and count
their bits; gradients of MSE + lambda * bpp; SOAP for the networks, Adam for the latents. In the
tail the latents are rounded and only the networks learn.

All of it runs over a leading axis of members: starts of one picture, or several pictures.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.fitting.members import over_members, stack_members
from inr.fitting.random_keys import FOR_NOISE, step_key
from inr.grid.fit.blocks import squared_error, total_bits
from inr.grid.fit.model import Latents, Params, context_inputs, contexts, features_of, soft_round
from inr.grid.fit.settings import GridFit
from inr.grid.fit.soap import SoapState, scale_by_soap
from inr.grid.prior import prior_networks
from inr.grid.structure import Pyramid

# Of the latents. Short means: gradients change quickly as latents cross from code to code.
LATENT_ADAM = optax.scale_by_adam(b1=0.8, b2=0.95)
# A low lambda makes latents large, which then have further to go.
_USUAL_LAMBDA, _RATE_BY_LAMBDA = 1e-3, 0.2
_MAX_NORM = 0.1  # of the networks' gradient
_TAIL_RATE = 0.1  # of the peak, where the tail's cosine begins
_WEIGHT_STEP = 2.0**-6  # of the networks' codes, about
_POOL = 1 << 21  # normal numbers, from which each step takes slices: drawing them anew is slow
# Compiling takes half as long, and the loop runs as fast.
COMPILER_OPTIONS = {"xla_llvm_disable_expensive_passes": True}


class State(NamedTuple):
    params: Params
    latents: Latents  # in units of `gain` codes
    soap: SoapState
    adam: optax.ScaleByAdamState
    key: jax.Array  # u32[2], the bits of the fit's key; it stays as it is


class Data(NamedTuple):
    """What a member is fitted to."""

    picture: Any  # f32[n_channels, height, width] in 0..1
    lambda_per_bit: Any  # f32[]: lambda / pixels


class Inputs(NamedTuple):
    """What the steps of a block read, [n] each."""

    active: Any  # bool; the others are skipped
    is_tail: Any  # bool: the latents are rounded and stay
    position: Any  # f32: 0..1 in the phase at hand
    rate: Any  # f32: factor on the learning rates; 0 changes nothing
    step: Any  # u32: number of the step, folded into the key of each member


class StepMetrics(NamedTuple):
    """What a step measures on its way, f32[] each."""

    mse: Any  # on 0..1, neither clipped nor rounded to samples
    bits: Any  # of the latents


@dataclass(frozen=True)
class Stepper:
    """The jitted part; static: the pyramid and the settings."""

    pyramid: Pyramid
    settings: GridFit

    def start(self, networks: list[dict[str, np.ndarray]], keys: list[jax.Array]) -> State:
        """Members with these networks and keys (`random_keys.fit_key`), and zero latents."""
        states = []
        for each, key in zip(networks, keys, strict=True):
            params = {name: jnp.asarray(w) for name, w in each.items()}
            latents = [
                jnp.zeros((level.height, level.width), jnp.float32) for level in self.pyramid.levels
            ]
            soap, adam = scale_by_soap().init(params), LATENT_ADAM.init(latents)
            states.append(State(params, latents, soap, adam, key))
        # Counts of steps are common to all, so that a condition on them stays a condition.
        stacked, one = stack_members(states), states[0]
        return stacked._replace(
            soap=stacked.soap._replace(step=one.soap.step),
            adam=stacked.adam._replace(count=one.adam.count),
        )

    @functools.partial(jax.jit, static_argnums=0, compiler_options=COMPILER_OPTIONS)
    def block(
        self, state: State, data: Data, xs: Inputs, pool: jax.Array
    ) -> tuple[State, StepMetrics]:
        """Run the active steps of a block; also the metrics of each, f32[n, members]."""

        n = len(state.key)
        step = over_members(self.step, n, (False, True, True))
        idle = StepMetrics(jnp.full(n, jnp.nan), jnp.full(n, jnp.nan))

        def body(state: State, x: Inputs) -> tuple[State, StepMetrics]:
            moved: tuple[State, StepMetrics] = jax.lax.cond(
                x.active, lambda: step(state, data, x, pool), lambda: (state, idle)
            )
            return moved

        return jax.lax.scan(body, state, xs)

    def loss(
        self,
        params: Params,
        latents: Latents,
        key: jax.Array,
        pool: jax.Array,
        x: Inputs,
        data: Data,
    ) -> tuple[jax.Array, StepMetrics]:
        """MSE + lambda * bpp of one member, softly rounded with noise, or rounded in the tail."""
        s = self.settings
        temperature = s.temperature + (s.final_temperature - s.temperature) * x.position
        noise = s.noise + (s.final_noise - s.noise) * x.position
        noise_key = step_key(key, x.step, FOR_NOISE)
        starts = jax.random.randint(noise_key, (len(latents),), 0, pool.size - latents[-1].size)
        seen = []
        for z, begin in zip(latents, starts, strict=True):
            y = z * s.gain
            added = jax.lax.dynamic_slice(pool, (begin,), (z.size,)).reshape(z.shape)
            disturbed = soft_round(soft_round(y, temperature) + noise * added, temperature)
            seen.append(jnp.where(x.is_tail, jnp.round(y), disturbed))
        features = features_of(seen, params, self.pyramid)
        no_slopes = jnp.zeros_like(data.picture)
        mse = squared_error(params, features, data.picture, no_slopes) / data.picture.size
        context = contexts(context_inputs(seen, self.pyramid), params, self.pyramid)
        y = jnp.concatenate([each.reshape(-1) for each in seen])
        bits = total_bits(params, context, y, jnp.ones_like(y))
        paid = bits + s.network_rate * network_bits(params, self.pyramid)
        return mse + data.lambda_per_bit * paid, StepMetrics(mse, bits)

    def step(
        self, state: State, data: Data, x: Inputs, pool: jax.Array
    ) -> tuple[State, StepMetrics]:
        """One step of one member."""
        s = self.settings
        differentiate = jax.grad(self.loss, (0, 1), has_aux=True)
        grads, metrics = differentiate(state.params, state.latents, state.key, pool, x, data)
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * x.position)) * x.rate
        network_rate = s.learning_rate * cosine * jnp.where(x.is_tail, _TAIL_RATE, 1.0)
        params, soap = update_networks(state.params, state.soap, grads[0], network_rate)
        lambda_ = data.lambda_per_bit * (self.pyramid.height * self.pyramid.width)
        finer = (_USUAL_LAMBDA / lambda_) ** _RATE_BY_LAMBDA
        latent_rate = s.latent_rate * finer * cosine * jnp.where(x.is_tail, 0.0, 1.0)
        latents, adam = update_latents(state.latents, state.adam, grads[1], latent_rate, s.gain)
        return State(params, latents, soap, adam, state.key), metrics


def update_latents(
    latents: Latents, adam: optax.OptState, grads: Latents, rate: jax.Array, gain: float
) -> tuple[Latents, optax.ScaleByAdamState]:
    """One step of Adam at rate f32[], within what a file can hold; gain: codes in a unit."""
    updates, adam = LATENT_ADAM.update(grads, adam)
    limit = LATENT_LIMIT / gain
    moved = [jnp.clip(z - rate * u, -limit, limit) for z, u in zip(latents, updates, strict=True)]
    return moved, cast(optax.ScaleByAdamState, adam)


def update_networks(
    params: Params, soap: SoapState, grads: Params, rate: jax.Array
) -> tuple[Params, SoapState]:
    """One step of SOAP."""
    scale = jnp.minimum(1.0, _MAX_NORM / jnp.maximum(optax.tree.norm(grads), 1e-30))
    grads = jax.tree.map(lambda g: g * scale, grads)
    updates, soap = scale_by_soap().update(grads, soap)
    return jax.tree.map(lambda w, u: w - rate * u, params, updates), soap


def network_bits(params: Params, pyramid: Pyramid) -> jax.Array:
    """About what the networks' codes will cost: steep near the prior, so that weights of no use go
    there, and flat far from it."""
    prior = prior_networks(pyramid)
    flat = jnp.concatenate([(w - prior[name]).reshape(-1) for name, w in params.items()])
    return jnp.sum(jnp.log2(1 + jnp.abs(flat) / _WEIGHT_STEP))


def noise_pool(n_latents_of_a_level: int) -> np.ndarray:
    """f32 normal numbers, more than any level has latents: the same for all fits, whose keys decide
    where each step begins to read."""
    n = max(_POOL, 2 * n_latents_of_a_level)
    return np.random.default_rng([0, 2]).standard_normal(n, np.float32)
