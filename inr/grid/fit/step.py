"""One step of the fit of a latent grid, and the jitted loop around it.

Order of one step: round the latents softly, add noise, round softly again; draw them and count
their bits; gradients of MSE + lambda * bpp; SOAP for the networks, Adam for the latents. In the
tail the latents are rounded and only the networks learn.

All of it runs over a leading axis of members: starts of one picture, or several pictures.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.coders.laplace_tables import LATENT_LIMIT
from inr.fitting.random_keys import FOR_NOISE, step_key
from inr.grid.fit.blocks import squared_error, total_bits
from inr.grid.fit.model import Latents, Params, contexts, features_of, seen_by_level, soft_round
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


class Told(NamedTuple):
    """What a step tells, f32[] each."""

    mse: Any  # on 0..1, neither clipped nor rounded to samples
    bits: Any  # of the latents


Step = Callable[["State", "Inputs", "Data"], tuple["State", "Told"]]

# Over which axes members are stacked; counts of steps are shared, so that a condition on them
# stays a condition.
_SOAP_AXES: Any = SoapState(*cast(Any, (None, 0, 0, 0, 0, 0, 0)))
_STATE_AXES: Any = State(*cast(Any, (0, 0, _SOAP_AXES, optax.ScaleByAdamState(None, 0, 0), 0)))


@dataclass(frozen=True)
class Loop:
    """Static: the pyramid and the settings."""

    pyramid: Pyramid
    settings: GridFit

    def start(self, params: list[dict[str, np.ndarray]], keys: list[jax.Array]) -> State:
        """Members with these networks and keys (`random_keys.fit_key`), and zero latents."""
        stacked = {k: jnp.stack([jnp.asarray(each[k]) for each in params]) for k in params[0]}
        latents = [
            jnp.zeros((len(params), level.height, level.width), jnp.float32)
            for level in self.pyramid.levels
        ]
        soap = jax.vmap(scale_by_soap().init, out_axes=_SOAP_AXES)(stacked)
        adam = jax.vmap(LATENT_ADAM.init, out_axes=_STATE_AXES.adam)(latents)
        return State(stacked, latents, soap, adam, jnp.stack(keys))

    def stacked(self, states: list[State]) -> State:
        """The inverse of `picked`; all have made as many steps."""
        one = states[0]
        each = [_with_counts(state, (), ()) for state in states]
        together: State = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        return _with_counts(together, one.soap.step, one.adam.count)

    @functools.partial(jax.jit, static_argnums=0, compiler_options=COMPILER_OPTIONS)
    def block(self, state: State, xs: Inputs, data: Data, pool: jax.Array) -> tuple[State, Told]:
        """Runs the active steps of a block; also what each tells, f32[n, members]."""
        step: Step = functools.partial(self._step, pool)
        if data.lambda_per_bit.size == 1:  # a batch of one runs a third slower than the one alone
            step = _alone(step)
        else:
            axes = (_STATE_AXES, None, 0)
            step = jax.vmap(step, in_axes=axes, out_axes=(_STATE_AXES, 0))

        def body(state: State, x: Inputs) -> tuple[State, Told]:
            idle = jnp.full(data.lambda_per_bit.shape, jnp.nan)
            moved: tuple[State, Told] = jax.lax.cond(
                x.active, lambda: step(state, x, data), lambda: (state, Told(idle, idle))
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
    ) -> tuple[jax.Array, Told]:
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
        context = contexts(seen_by_level(seen, self.pyramid), params, self.pyramid)
        y = jnp.concatenate([each.reshape(-1) for each in seen])
        bits = total_bits(params, context, y, jnp.ones_like(y))
        paid = bits + s.network_rate * network_bits(params, self.pyramid)
        return mse + data.lambda_per_bit * paid, Told(mse, bits)

    def _step(self, pool: jax.Array, state: State, x: Inputs, data: Data) -> tuple[State, Told]:
        s = self.settings
        differentiated = jax.grad(self.loss, (0, 1), has_aux=True)
        grads, told = differentiated(state.params, state.latents, state.key, pool, x, data)
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * x.position)) * x.rate
        params, soap = moved_networks(
            *(state.params, state.soap, grads[0]),
            s.learning_rate * cosine * jnp.where(x.is_tail, _TAIL_RATE, 1.0),
        )
        lambda_ = data.lambda_per_bit * (self.pyramid.height * self.pyramid.width)
        finer = (_USUAL_LAMBDA / lambda_) ** _RATE_BY_LAMBDA
        latent_rate = s.latent_rate * finer * cosine * jnp.where(x.is_tail, 0.0, 1.0)
        latents, adam = moved_latents(state.latents, state.adam, grads[1], latent_rate, s.gain)
        return State(params, latents, soap, adam, state.key), told


def moved_latents(
    latents: Latents, adam: optax.OptState, grads: Latents, rate: jax.Array, gain: float
) -> tuple[Latents, optax.ScaleByAdamState]:
    """One step of Adam at rate f32[], within what a file can hold; gain: codes in a unit."""
    updates, adam = LATENT_ADAM.update(grads, adam)
    limit = LATENT_LIMIT / gain
    moved = [jnp.clip(z - rate * u, -limit, limit) for z, u in zip(latents, updates, strict=True)]
    return moved, cast(optax.ScaleByAdamState, adam)


def _alone(step: Step) -> Step:
    """The step for members of which there is but one."""

    def stacked(state: State, x: Inputs, data: Data) -> tuple[State, Told]:
        moved, told = step(picked(state, 0), x, jax.tree.map(lambda each: each[0], data))
        with_axis = _mapped(lambda leaf: leaf[None], moved)
        return with_axis, jax.tree.map(lambda each: each[None], told)

    return stacked


def picked(state: State, i: int) -> State:
    """One member, without the axis of members."""
    return _mapped(lambda leaf: leaf[i], state)


def _mapped(change: Callable[[jax.Array], jax.Array], state: State) -> State:
    """The state with all changed that has an axis of members; counts of steps have none."""
    soap_step, adam_count = state.soap.step, state.adam.count
    changed: State = jax.tree.map(change, _with_counts(state, (), ()))
    return _with_counts(changed, soap_step, adam_count)


def _with_counts(state: State, soap_step: Any, adam_count: Any) -> State:
    return state._replace(
        soap=state.soap._replace(step=soap_step), adam=state.adam._replace(count=adam_count)
    )


def moved_networks(
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
