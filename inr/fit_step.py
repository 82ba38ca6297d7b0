"""One step of the fit, and the jitted loop around it.

Order of one step: take the next slice of the shuffled pixels; turn their indices into
coordinates; disturb the weights as the quantizer will (noise, later rounding); mean squared error
of the field there; gradients of the weights and of the quantizer's relative steps; optimizer
update, scaled by warm-up and cosine decay.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr import coords
from inr.fields.protocol import Field
from inr.optimizers import Adam, Muon
from inr.quantize.ste import add_noise, budgeted_steps, round_straight_through

Params = dict[str, jax.Array]

LEARNED_STEP_RATE = 1e-2  # Adam on log2 of the steps; half to three times as much changed little
_VALIDATION_PIXELS = 65536  # enough to rank snapshots to 0.01 dB, cheap against a block


class State(NamedTuple):
    params: Params
    log2_steps: Params
    opt: optax.OptState
    step_opt: optax.OptState


class Data(NamedTuple):
    """The shuffled picture on the device. Its head stands again at the end, so that every slice
    that begins inside the picture is contiguous."""

    position: jax.Array  # i32[n + batch], in the picture, row by row
    samples: jax.Array  # u8/u16[n + batch, c]
    low: jax.Array  # f32[c]
    span: jax.Array  # f32[c], 0 for a constant channel
    weight: jax.Array  # f32[c], squared share of the channel's span in the full one
    size: jax.Array  # i32[2], height and width


def signal_of(samples: jax.Array, low: jax.Array, span: jax.Array) -> jax.Array:
    """Samples in low..low+span -> signal in -1..1; a constant channel becomes 0."""
    safe = jnp.where(span > 0, span, 1)
    return jnp.where(span > 0, 2 * (samples.astype(jnp.float32) - low) / safe - 1, 0)


def _coords(index: jax.Array, size: jax.Array) -> jax.Array:
    """Position in the picture, row by row, -> centre of that pixel. i32[n] -> f32[n, 2]."""
    row = index // size[1]
    pixel = jnp.stack([row, index - row * size[1]], axis=1)  # [n, 2]
    centres: jax.Array = coords.centre(pixel.astype(jnp.float32), size.astype(jnp.float32))
    return centres


def _error(
    net: Field, has_alpha: bool, params: Params, data: Data, start: jax.Array, batch: int
) -> jax.Array:
    """Mean squared error of one slice, of the full range 0..1 of a sample."""
    index = jax.lax.dynamic_slice_in_dim(data.position, start, batch)
    samples = jax.lax.dynamic_slice_in_dim(data.samples, start, batch)
    signal = signal_of(samples, data.low, data.span)  # [batch, c]
    squared = (net.apply(params, _coords(index, data.size)) - signal) ** 2 * (data.weight / 4)
    if has_alpha:
        # What is seen is colour times alpha; colours under alpha 0 must cost nothing.
        peak = np.float32(np.iinfo(samples.dtype).max)
        alpha = samples[:, -1:].astype(jnp.float32) / peak
        squared = squared * jnp.concatenate(
            [jnp.broadcast_to(alpha**2, (batch, samples.shape[1] - 1)), jnp.ones_like(alpha)], 1
        )
    return jnp.mean(squared)


@dataclass(frozen=True)
class Loop:
    """The jitted part. Frozen, hence a static argument: one compilation a configuration."""

    net: Field
    optimizer: Muon | Adam
    has_alpha: bool  # the last channel weighs the colours of its pixel
    slice: int  # pixels whose gradient is taken at once
    n_slices: int  # slices of a batch
    fixed: tuple[str, ...]  # tensors that are not trained

    @property
    def batch(self) -> int:
        """Pixels a step."""
        return self.slice * self.n_slices

    def trained(self, params: Params) -> Params:
        return {name: w for name, w in params.items() if name not in self.fixed}

    def start(self, rng: np.random.Generator, n_channels: int) -> State:
        params = {k: jnp.asarray(w) for k, w in self.net.init(rng, n_channels).items()}
        trained = self.trained(params)
        log2_steps = {name: jnp.zeros((), jnp.float32) for name in trained}
        return State(
            params,
            log2_steps,
            self.optimizer.make(trained).init(trained),
            optax.adam(LEARNED_STEP_RATE).init(log2_steps),
        )

    def step(
        self,
        state: State,
        x: dict[str, jax.Array],
        data: Data,
        frozen_steps: Params | None,
    ) -> tuple[State, jax.Array]:
        fixed = {name: state.params[name] for name in self.fixed}

        def disturb(trained: Params, log2_steps: Params) -> Params:
            if frozen_steps is not None:
                return round_straight_through(trained, frozen_steps)
            q_steps = budgeted_steps(trained, log2_steps, x["budget_bits"])
            return add_noise(trained, q_steps, jax.random.key(x["noise"]))

        def add_slice(total: Params, start: jax.Array) -> tuple[Params, jax.Array]:
            error, grads = jax.value_and_grad(
                lambda w: _error(self.net, self.has_alpha, w | fixed, data, start, self.slice)
            )(disturbed)
            return jax.tree.map(jnp.add, total, grads), error

        trained = self.trained(state.params)
        disturbed, disturb_backward = jax.vjp(disturb, trained, state.log2_steps)
        starts = x["start"] + self.slice * np.arange(self.n_slices, dtype=np.int32)
        total, errors = jax.lax.scan(add_slice, jax.tree.map(jnp.zeros_like, disturbed), starts)
        grads, step_grads = disturb_backward(jax.tree.map(lambda g: g / self.n_slices, total))
        updates, opt = self.optimizer.make(trained).update(grads, state.opt, trained)
        updates = jax.tree.map(lambda u: u * x["rate"], updates)
        log2_steps, step_opt = state.log2_steps, state.step_opt
        if frozen_steps is None:
            step_updates, step_opt = optax.adam(LEARNED_STEP_RATE).update(
                step_grads, step_opt, log2_steps
            )
            log2_steps = optax.apply_updates(log2_steps, step_updates)
        params = optax.apply_updates(trained, updates) | fixed
        return State(params, log2_steps, opt, step_opt), jnp.mean(errors)

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def block(
        self,
        state: State,
        xs: dict[str, jax.Array],
        data: Data,
        frozen_steps: Params | None,
    ) -> tuple[State, jax.Array]:
        """Runs the active ones of n steps, n fixed; returns the new state and errors f32[n]."""

        def body(state: State, x: dict[str, jax.Array]) -> tuple[State, jax.Array]:
            # A short block would be another compilation: surplus steps are skipped instead.
            after: tuple[State, jax.Array] = jax.lax.cond(
                x["active"],
                lambda state: self.step(state, x, data, frozen_steps),
                lambda state: (state, jnp.float32(0)),
                state,
            )
            return after

        ended: tuple[State, jax.Array] = jax.lax.scan(body, state, xs)
        return ended

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def block_of_seeds(
        self,
        states: State,
        xs: dict[str, jax.Array],
        data: Data,
    ) -> tuple[State, jax.Array]:
        """`block` for several starts at once; errors are f32[n_seeds, n]."""
        ended: tuple[State, jax.Array] = jax.vmap(lambda state: self.block(state, xs, data, None))(
            states
        )
        return ended

    @functools.partial(jax.jit, static_argnums=0)
    def validate(self, params: Params, data: Data, q_steps: Params) -> jax.Array:
        """Error over the first pixels of the shuffled picture, weights rounded."""
        fixed = {name: params[name] for name in self.fixed}
        rounded = round_straight_through(self.trained(params), q_steps) | fixed
        n_slices = max(
            1, min(_VALIDATION_PIXELS, data.position.shape[0] - self.batch) // self.slice
        )
        starts = jnp.arange(n_slices) * self.slice
        errors = jax.lax.map(
            lambda start: _error(self.net, self.has_alpha, rounded, data, start, self.slice), starts
        )
        return jnp.mean(errors)
