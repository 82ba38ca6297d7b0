"""One step of the fit of a latent grid, and the jitted loop around it.

Order of one step: round the latents softly, add noise, round softly again; draw them and count
their bits; gradients of MSE + lambda * bpp; SOAP for the networks, Adam for the latents. In the
tail the latents are rounded and only the networks learn.

All of it runs over a leading axis of members: starts of one picture, or several pictures.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.grid.fit_settings import GridFit
from inr.grid.forward import Latents, Params, drawn, features_of, rate_bits, soft_round, synthesis
from inr.grid.soap import SoapState, scale_by_soap
from inr.grid.structure import LATENT_LIMIT, Pyramid

_MAX_NORM = 0.1  # of the networks' gradient
_LEAST_RATE = 1e-3  # of the cosine's end, as a fraction of its peak
_TAIL_RATE = 0.1  # of the peak, where the tail's cosine begins
_POOL = 1 << 21  # normal numbers, from which each step takes slices: drawing them anew is slow
# Compiling takes half as long, and the loop runs as fast.
_COMPILER_OPTIONS = {"xla_llvm_disable_expensive_passes": True}


class State(NamedTuple):
    params: Params
    latents: Latents  # in units of `gain` codes
    soap: SoapState
    adam: optax.ScaleByAdamState


class Data(NamedTuple):
    """What a member is fitted to."""

    picture: Any  # f32[n_channels, height, width] in 0..1
    lambda_per_bit: Any  # f32[]: lambda / pixels
    peak: Any  # f32[]: largest sample


class Inputs(NamedTuple):
    """What the steps of a block read, [n] each."""

    active: Any  # bool; the others are skipped
    position: Any  # f32: 0..1 in the phase at hand
    seed: Any  # u32, of the noise


Step = Callable[["State", "Inputs", "Data"], tuple["State", jax.Array]]

# Over which axes members are stacked; counts of steps are shared, so that a condition on them
# stays a condition.
_STATE_AXES = State(0, 0, SoapState(None, 0), optax.ScaleByAdamState(None, 0, 0))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Loop:
    """Static: the pyramid and the settings."""

    pyramid: Pyramid
    settings: GridFit

    def start(self, params: list[dict[str, np.ndarray]]) -> State:
        """Members with these networks and zero latents."""
        stacked = {k: jnp.stack([jnp.asarray(each[k]) for each in params]) for k in params[0]}
        latents = [
            jnp.zeros((len(params), level.height, level.width), jnp.float32)
            for level in self.pyramid.levels
        ]
        soap = jax.vmap(scale_by_soap().init, out_axes=SoapState(None, 0))(stacked)
        adam = jax.vmap(optax.scale_by_adam().init, out_axes=_STATE_AXES.adam)(latents)
        return State(stacked, latents, soap, adam)

    @functools.partial(jax.jit, static_argnums=(0, 4), compiler_options=_COMPILER_OPTIONS)
    def block(
        self, state: State, xs: Inputs, data: Data, is_tail: bool, pool: jax.Array
    ) -> tuple[State, jax.Array]:
        """Runs the active steps of a block; also the loss of each, f32[members, n]."""
        step = functools.partial(self._tail_step if is_tail else self._step, pool)
        if data.peak.size == 1:  # a batch of one runs a third slower than the one alone
            step = _alone(step)
        else:
            axes = (_STATE_AXES, None, 0)
            step = jax.vmap(step, in_axes=axes, out_axes=(_STATE_AXES, 0))

        def body(state: State, x: Inputs) -> tuple[State, jax.Array]:
            idle = jnp.full(data.peak.shape, jnp.nan)
            moved: tuple[State, jax.Array] = jax.lax.cond(
                x.active, lambda: step(state, x, data), lambda: (state, idle)
            )
            return moved

        state, losses = jax.lax.scan(body, state, xs)
        return state, losses.T

    def _step(self, pool: jax.Array, state: State, x: Inputs, data: Data) -> tuple[State, jax.Array]:
        s = self.settings
        cosine = _LEAST_RATE + (1 - _LEAST_RATE) * 0.5 * (1 + jnp.cos(jnp.pi * x.position))
        temperature = s.temperature + (s.final_temperature - s.temperature) * x.position
        noise = s.noise + (s.final_noise - s.noise) * x.position
        starts = jax.random.randint(
            jax.random.key(x.seed), (len(state.latents),), 0, pool.size - state.latents[-1].size
        )

        def loss_of(params: Params, latents: Latents) -> jax.Array:
            disturbed = []
            for z, begin in zip(latents, starts, strict=True):
                y = soft_round(z * s.gain, temperature)
                added = jax.lax.dynamic_slice(pool, (begin,), (z.size,)).reshape(z.shape)
                disturbed.append(soft_round(y + noise * added, temperature))
            return self._loss(params, disturbed, data)

        loss, (grads, latent_grads) = jax.value_and_grad(loss_of, (0, 1))(
            state.params, state.latents
        )
        params, soap = _moved_networks(state, grads, s.learning_rate * cosine)
        updates, adam = optax.scale_by_adam().update(latent_grads, state.adam)
        limit = LATENT_LIMIT / s.gain
        latents = [
            jnp.clip(z - s.latent_rate * cosine * u, -limit, limit)
            for z, u in zip(state.latents, updates, strict=True)
        ]
        return State(params, latents, soap, adam), loss

    def _tail_step(
        self, pool: jax.Array, state: State, x: Inputs, data: Data
    ) -> tuple[State, jax.Array]:
        loss, grads = jax.value_and_grad(self._loss)(state.params, self.rounded(state), data)
        cosine = _TAIL_RATE * 0.5 * (1 + jnp.cos(jnp.pi * x.position))
        params, soap = _moved_networks(state, grads, self.settings.learning_rate * cosine)
        return state._replace(params=params, soap=soap), loss

    def _loss(self, params: Params, latents: Latents, data: Data) -> jax.Array:
        picture = synthesis(features_of(latents, params, self.pyramid), params)
        bits = rate_bits(latents, params, self.pyramid)
        return jnp.mean((picture - data.picture) ** 2) + data.lambda_per_bit * bits

    def rounded(self, state: State) -> Latents:
        """The latents as codes, f32."""
        return [jnp.round(z * self.settings.gain) for z in state.latents]

    @functools.partial(jax.jit, static_argnums=0, compiler_options=_COMPILER_OPTIONS)
    def validate(self, state: State, data: Data) -> tuple[jax.Array, jax.Array]:
        """MSE on 0..1 and bits of the latents, f32[members] each, with all that is rounded in a
        file rounded, but for the networks."""

        def of(state: State, data: Data) -> tuple[jax.Array, jax.Array]:
            latents = self.rounded(state)
            picture = jnp.round(drawn(latents, state.params, self.pyramid) * data.peak) / data.peak
            bits = rate_bits(latents, state.params, self.pyramid)
            return jnp.mean((picture - data.picture) ** 2), bits

        validated: tuple[jax.Array, jax.Array] = jax.vmap(of, in_axes=(_STATE_AXES, 0))(state, data)
        return validated


def _alone(step: Step) -> Step:
    """The step for members of which there is but one."""

    def stacked(state: State, x: Inputs, data: Data) -> tuple[State, jax.Array]:
        moved, loss = step(_picked(state, 0), x, jax.tree.map(lambda each: each[0], data))
        return _with_axis(moved), loss[None]

    return stacked


def _picked(state: State, i: int) -> State:
    """One member, without the axis of members."""
    return _mapped(lambda leaf: leaf[i], state)


def _with_axis(state: State) -> State:
    return _mapped(lambda leaf: leaf[None], state)


def _mapped(change: Callable[[jax.Array], jax.Array], state: State) -> State:
    """The state with all changed that has an axis of members; counts of steps have none."""
    params, latents, leaves, mu, nu = jax.tree.map(
        change, (state.params, state.latents, state.soap.leaves, state.adam.mu, state.adam.nu)
    )
    soap = state.soap._replace(leaves=leaves)
    return State(params, latents, soap, state.adam._replace(mu=mu, nu=nu))


def _moved_networks(state: State, grads: Params, rate: jax.Array) -> tuple[Params, SoapState]:
    scale = jnp.minimum(1.0, _MAX_NORM / jnp.maximum(optax.global_norm(grads), 1e-30))
    grads = jax.tree.map(lambda g: g * scale, grads)
    updates, soap = scale_by_soap().update(grads, state.soap)
    return jax.tree.map(lambda w, u: w - rate * u, state.params, updates), soap


def noise_pool(n_latents_of_a_level: int, seed: int) -> np.ndarray:
    """f32 normal numbers, more than any level has latents."""
    n = max(_POOL, 2 * n_latents_of_a_level)
    return np.random.default_rng([seed, 2]).standard_normal(n, np.float32)
