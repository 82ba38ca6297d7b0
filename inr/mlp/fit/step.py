"""One step of the fit, and the jitted loop around it.

Order of one step: take the next slice of the shuffled pixels; turn their indices into
coordinates; disturb the weights as the quantizer will (noise, later rounding), with zeros where
the masks have them; mean squared error of the fields there; gradients of the weights and of the
quantizer's relative steps, with those of the rate term if there is one; optimizer update, scaled
by warm-up and cosine decay.

Masks change between blocks (`Loop.sparsified`), never inside a step.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.fitting.random_keys import FOR_MASKS, FOR_NOISE, step_key
from inr.image import coords
from inr.mlp.fields.joint import FieldSet
from inr.mlp.fields.protocol import Field
from inr.mlp.fit.optimizers import Adam, Muon
from inr.mlp.fit.rate import estimated_bits, paid_steps
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.ste import add_noise, budgeted_steps, kept, round_straight_through
from inr.mlp.sparsify.protocol import Masks, Sparsifier

Params = dict[str, jax.Array]

LEARNED_STEP_RATE = 1e-2  # Adam on log2 of the steps; half to three times as much changed little
_VALIDATION_PIXELS = 65536  # enough to rank snapshots to 0.01 dB, cheap against a block
_MOMENTUM = np.float32(0.9)  # of the running mean of gradients that some sparsifiers want


class State(NamedTuple):
    params: Params
    log2_steps: Params
    opt: optax.OptState
    step_opt: optax.OptState
    masks: Masks  # of the sparse tensors; their other weights are zero
    momentum: Params  # running mean of their dense gradients, where the sparsifier needs it
    key: jax.Array  # u32[2], the bits of the fit's key; it stays as it is


class Data(NamedTuple):
    """One shuffled signal on the device. Its head stands again at the end, so that every slice
    that begins inside the picture is contiguous."""

    position: jax.Array  # i32[n + slice, ...], in the picture, row by row
    samples: jax.Array  # u8/u16/f32[n + slice, c]
    low: jax.Array  # f32[c]
    span: jax.Array  # f32[c], 0 for a constant channel
    weight: jax.Array  # f32[c], squared share of the channel's span in the peak, times the signal's
    size: jax.Array  # i32[2], height and width
    peak: jax.Array  # f32[], of the samples


class Inputs(NamedTuple):
    """What the steps of a block read, [n] each."""

    active: Any  # bool; the others are skipped
    start: Any  # i32[n, n_parts]: where in each shuffled signal the batch begins
    rate: Any  # f32: factor on the optimizer's updates
    step: Any  # u32: number of the step, folded into the fit's key
    budget_bits: Any  # f32: what all codes may cost


class RateTerm(NamedTuple):
    """The rate term of a block."""

    curves: dict[str, jax.Array]  # f32[7] a tensor, see rate.py
    lambda_per_bit: jax.Array | None  # f32[], lambda / pixels; None: the budget decides


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
    net: Field, has_alpha: bool, params: Params, data: Data, start: jax.Array, n: int
) -> jax.Array:
    """Mean squared error of n pixels of a signal, of the full range 0..1 of a sample."""
    index = jax.lax.dynamic_slice_in_dim(data.position, start, n)
    samples = jax.lax.dynamic_slice_in_dim(data.samples, start, n)
    signal = signal_of(samples, data.low, data.span)  # [n, c]
    difference = net.apply(params, _coords(index, data.size)) - signal
    if jnp.issubdtype(samples.dtype, jnp.integer):
        # The decoder clips to the range: beyond its ends nothing is wrong. Paper stays white.
        difference = jnp.where(signal >= 1, jnp.minimum(difference, 0), difference)
        difference = jnp.where(signal <= -1, jnp.maximum(difference, 0), difference)
    squared = difference**2 * (data.weight / 4)
    if has_alpha:
        # What is seen is colour times alpha; colours under alpha 0 must cost nothing.
        alpha = samples[:, -1:].astype(jnp.float32) / data.peak
        squared = squared * jnp.concatenate(
            [jnp.broadcast_to(alpha**2, (n, samples.shape[1] - 1)), jnp.ones_like(alpha)], 1
        )
    return jnp.mean(squared)


@dataclass(frozen=True)
class Loop:
    """The jitted part. Frozen, hence a static argument: one compilation a configuration."""

    field_set: FieldSet
    optimizer: Muon | Adam
    quantizer: Quantizer
    sparsifier: Sparsifier
    has_alpha: bool  # the last channel weighs the colours of its pixel
    slices: tuple[int, ...]  # pixels of each part whose gradient is taken at once
    n_slices: int  # slices of a batch

    @property
    def fixed(self) -> tuple[str, ...]:
        """Tensors that are not trained."""
        return tuple(self.field_set.fixed_steps())

    def trained(self, params: Params) -> Params:
        fixed = self.fixed
        return {name: w for name, w in params.items() if name not in fixed}

    def start(self, rng: np.random.Generator, sparsifier: Sparsifier, key: jax.Array) -> State:
        """First weights and masks; sparsifier: self.sparsifier at the fit's own sparsity; key: see
        `fit_key`."""
        params = {k: jnp.asarray(w) for k, w in self.field_set.init(rng).items()}
        first_masks = sparsifier.start(rng, self.field_set.trained_shapes())
        masks = {name: jnp.asarray(mask) for name, mask in first_masks.items()}
        # With fewer inputs each must weigh more, or the signal dies out layer by layer (Evci et
        # al., "Gradient Flow in Sparse Neural Networks", https://arxiv.org/abs/2010.03533, section
        # 3.1). RigL at 90 %: +0.5 dB.
        for name, mask in first_masks.items():
            params[name] = params[name] / np.float32(np.sqrt(max(mask.mean(), 1 / mask.size)))
        params = kept(params, masks)
        trained = self.trained(params)
        log2_steps = {name: jnp.zeros((), jnp.float32) for name in trained}
        momentum = {}
        if self.sparsifier.NEEDS_MOMENTUM:
            momentum = {name: jnp.zeros_like(params[name]) for name in masks}
        return State(
            params,
            log2_steps,
            self.optimizer.make(trained).init(trained),
            optax.adam(LEARNED_STEP_RATE).init(log2_steps),
            masks,
            momentum,
            key,
        )

    def error(
        self, params: Params, data: tuple[Data, ...], starts: jax.Array, sizes: tuple[int, ...]
    ) -> jax.Array:
        """The picture's mean squared error, as far as sizes[i] pixels of each signal tell it."""
        errors = [
            _error(
                part.field, self.has_alpha, self.field_set.params_of(params, i), part_data, start, n
            )
            for i, (part, part_data, start, n) in enumerate(
                zip(self.field_set.parts, data, starts, sizes, strict=True)
            )
        ]
        return functools.reduce(jnp.add, errors)

    def gradient(
        self, params: Params, fixed: Params, data: tuple[Data, ...], starts: jax.Array
    ) -> tuple[Params, jax.Array]:
        """Gradient and error of a batch, one slice after the other."""
        offsets = np.arange(self.n_slices, dtype=np.int32)[:, None] * np.array(
            self.slices, np.int32
        )

        def add_slice(total: Params, starts: jax.Array) -> tuple[Params, jax.Array]:
            error, grads = jax.value_and_grad(
                lambda w: self.error(w | fixed, data, starts, self.slices)
            )(params)
            return jax.tree.map(jnp.add, total, grads), error

        total, errors = jax.lax.scan(
            add_slice, jax.tree.map(jnp.zeros_like, params), starts[None] + offsets
        )
        return jax.tree.map(lambda g: g / self.n_slices, total), jnp.mean(errors)

    def step(
        self,
        state: State,
        x: Inputs,
        data: tuple[Data, ...],
        frozen_levels: Params | None,
        rate: RateTerm | None,
    ) -> tuple[State, jax.Array]:
        fixed = {name: state.params[name] for name in self.fixed}

        def disturb(trained: Params, log2_steps: Params) -> tuple[Params, jax.Array, Params]:
            """The weights as the file will have them, about; the bits that the loss pays for; the
            new state of the steps, before their optimizer moves them."""
            no_bits = jnp.zeros((), jnp.float32)
            if frozen_levels is not None:
                rounded = round_straight_through(
                    trained, frozen_levels, self.quantizer, state.masks
                )
                return rounded, no_bits, log2_steps
            if not self.quantizer.LEARNS_STEPS:
                return kept(trained, state.masks), no_bits, log2_steps
            noise_key = step_key(state.key, x.step, FOR_NOISE)
            if rate is None:
                q_steps = budgeted_steps(trained, log2_steps, x.budget_bits, state.masks)
                noisy = kept(add_noise(trained, q_steps, noise_key), state.masks)
                return noisy, no_bits, log2_steps
            if rate.lambda_per_bit is None:
                log2_steps = paid_steps(trained, log2_steps, rate.curves, x.budget_bits)
            q_steps = {name: jnp.exp2(log2_step) for name, log2_step in log2_steps.items()}
            noisy = kept(add_noise(trained, q_steps, noise_key), state.masks)
            return noisy, estimated_bits(noisy, q_steps, rate.curves), log2_steps

        trained = self.trained(state.params)
        (disturbed, _, log2_steps), disturb_backward = jax.vjp(disturb, trained, state.log2_steps)
        dense, error = self.gradient(disturbed, fixed, data, x.start)
        momentum = {
            name: _MOMENTUM * m + (1 - _MOMENTUM) * dense[name]
            for name, m in state.momentum.items()
        }
        lambda_per_bit = jnp.zeros((), jnp.float32)
        if rate is not None and rate.lambda_per_bit is not None:
            lambda_per_bit = rate.lambda_per_bit
        unpaid = jax.tree.map(jnp.zeros_like, log2_steps)
        grads, step_grads = disturb_backward((dense, lambda_per_bit, unpaid))
        updates, opt = self.optimizer.make(trained).update(grads, state.opt, trained)
        densities = {name: jnp.mean(mask.astype(jnp.float32)) for name, mask in state.masks.items()}
        updates = {
            name: u * (x.rate * self.optimizer.share_of_rate(u.shape, densities.get(name, 1.0)))
            for name, u in updates.items()
        }
        step_opt = state.step_opt
        if frozen_levels is None and self.quantizer.LEARNS_STEPS:
            step_updates, step_opt = optax.adam(LEARNED_STEP_RATE).update(
                step_grads, step_opt, log2_steps
            )
            log2_steps = optax.apply_updates(log2_steps, step_updates)
        params = kept(optax.apply_updates(trained, updates), state.masks) | fixed
        moved = state._replace(
            params=params, log2_steps=log2_steps, opt=opt, step_opt=step_opt, momentum=momentum
        )
        return moved, error

    def _block(
        self,
        state: State,
        xs: Inputs,
        data: tuple[Data, ...],
        frozen_levels: Params | None,
        rate: RateTerm | None,
    ) -> tuple[State, jax.Array]:
        def body(state: State, x: Inputs) -> tuple[State, jax.Array]:
            # A short block would be another compilation: surplus steps are skipped instead.
            after: tuple[State, jax.Array] = jax.lax.cond(
                x.active,
                lambda state: self.step(state, x, data, frozen_levels, rate),
                lambda state: (state, jnp.float32(0)),
                state,
            )
            return after

        ended: tuple[State, jax.Array] = jax.lax.scan(body, state, xs)
        return ended

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def block(
        self,
        state: State,
        xs: Inputs,
        data: tuple[Data, ...],
        frozen_levels: Params | None,
        rate: RateTerm | None,
    ) -> tuple[State, jax.Array]:
        """Runs the active ones of n steps, n fixed; returns the new state and errors f32[n]."""
        return self._block(state, xs, data, frozen_levels, rate)

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def block_of_seeds(
        self, states: State, xs: Inputs, data: tuple[Data, ...]
    ) -> tuple[State, jax.Array]:
        """`block` for several starts of one fit at once; errors are f32[n_seeds, n]."""
        ended: tuple[State, jax.Array] = jax.vmap(
            lambda state: self._block(state, xs, data, None, None)
        )(states)
        return ended

    @functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
    def block_of_jobs(
        self,
        states: State,
        xs: Inputs,
        data: tuple[Data, ...],
        frozen_levels: Params | None,
        rate: RateTerm | None,
    ) -> tuple[State, jax.Array]:
        """`block` for several fits at once: all leaves have a leading axis, but those of xs that
        all fits share (active, start, step)."""
        ended: tuple[State, jax.Array] = jax.vmap(
            self._block, in_axes=(0, Inputs(None, None, 0, None, 0), 0, 0, 0)
        )(states, xs, data, frozen_levels, rate)
        return ended

    def n_validation_pixels(self, data: tuple[Data, ...]) -> int:
        """Pixels of all parts that `validate` looks at."""
        return self._n_validation_slices(data) * sum(self.slices)

    def _n_validation_slices(self, data: tuple[Data, ...]) -> int:
        n_available = min(
            (part.position.shape[0] - self.n_slices * n) // n
            for part, n in zip(data, self.slices, strict=True)
        )
        return max(1, min(_VALIDATION_PIXELS // max(self.slices), n_available))

    @functools.partial(jax.jit, static_argnums=0)
    def validate(
        self, params: Params, data: tuple[Data, ...], levels: Params, masks: Masks
    ) -> jax.Array:
        """Error over the first pixels of each shuffled signal, weights rounded."""
        fixed = {name: params[name] for name in self.fixed}
        rounded = round_straight_through(self.trained(params), levels, self.quantizer, masks)
        n_slices = self._n_validation_slices(data)
        starts = np.arange(n_slices, dtype=np.int32)[:, None] * np.array(self.slices, np.int32)
        errors = jax.lax.map(
            lambda starts: self.error(rounded | fixed, data, starts, self.slices), starts
        )
        return jnp.mean(errors)

    def _sparsified(
        self,
        state: State,
        keep_counts: dict[str, jax.Array],
        progress: jax.Array,
        step: jax.Array,
    ) -> State:
        # Weights that grow begin at zero, without momentum.
        trained = self.trained(state.params)
        key = step_key(state.key, step, FOR_MASKS)
        masks = self.sparsifier.updated(
            state.masks, trained, state.momentum, keep_counts, progress, key
        )
        stays = {name: masks[name] & state.masks[name] for name in masks}

        def forget(path: tuple[object, ...], leaf: jax.Array) -> jax.Array:
            name = path[-1].key if isinstance(path[-1], jax.tree_util.DictKey) else None
            if name in stays and leaf.shape == stays[name].shape:
                return jnp.where(stays[name], leaf, np.float32(0))
            return leaf

        opt = jax.tree_util.tree_map_with_path(forget, state.opt)
        params = state.params | kept(trained, stays)
        return state._replace(params=params, opt=opt, masks=masks)

    @functools.partial(jax.jit, static_argnums=0)
    def sparsified(
        self,
        state: State,
        keep_counts: dict[str, jax.Array],
        progress: jax.Array,
        step: jax.Array,
    ) -> State:
        """The state with new masks. step: u32[], number of the step that comes next."""
        return self._sparsified(state, keep_counts, progress, step)

    @functools.partial(jax.jit, static_argnums=0)
    def sparsified_jobs(
        self,
        states: State,
        keep_counts: dict[str, jax.Array],
        progress: jax.Array,
        step: jax.Array,
    ) -> State:
        """`sparsified` for several fits at once; they share progress and step."""
        changed: State = jax.vmap(self._sparsified, in_axes=(0, 0, None, None))(
            states, keep_counts, progress, step
        )
        return changed
