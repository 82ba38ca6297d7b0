"""One step of the fit, and the jitted loop around it.

Order of one step: take the next slice of the shuffled pixels; turn their indices into
coordinates; perturb the weights as the quantizer will (noise, later rounding), with zeros where
the masks have them; mean squared error of the fields there; gradients of the weights and of the
quantizer's relative steps, with those of the rate term if there is one; optimizer update, scaled
by warm-up and cosine decay.

How the weights are perturbed is a phase's matter: one of those in perturb.py, chosen when the
program is built. Masks change between blocks, never inside a step.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.fitting.members import over_members
from inr.fitting.random_keys import FOR_MASKS, FOR_NOISE, step_key
from inr.mlp.fields.joint import FieldSet
from inr.mlp.fields.protocol import Params
from inr.mlp.fit.data import Data, signal_error
from inr.mlp.fit.optimizers import Adam, Muon
from inr.mlp.fit.perturb import Held, Perturbation, Perturbed, PerturbInputs
from inr.mlp.quantize.protocol import Quantizer
from inr.mlp.quantize.ste import apply_masks, round_straight_through
from inr.mlp.sparsify.protocol import MaskRule, Masks

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


class Inputs(NamedTuple):
    """What the steps of a block read, [n] each, the same for all members."""

    active: Any  # bool; the others are skipped
    start: Any  # i32[n, n_parts]: where in each shuffled signal the batch begins
    step: Any  # u32: number of the step, folded into the fit's key


class OwnInputs(NamedTuple):
    """What the steps of a block read, [n] each, of one member."""

    rate: Any  # f32: factor on the optimizer's updates
    budget_bits: Any  # f32: what all codes may cost


@dataclass(frozen=True)
class Stepper:
    """The jitted part. Frozen, hence a static argument: one compilation a configuration."""

    field_set: FieldSet
    optimizer: Muon | Adam
    quantizer: Quantizer
    mask_rule: MaskRule | None
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

    def start(self, rng: np.random.Generator, rule: MaskRule | None, key: jax.Array) -> State:
        """Return the first state of one member, without the axis; rule: self.mask_rule at the
        member's own sparsity; key: see `fit_key`."""
        params = {k: jnp.asarray(w) for k, w in self.field_set.init(rng).items()}
        first_masks = {} if rule is None else rule.start(rng, self.field_set.matrices())
        masks = {name: jnp.asarray(mask) for name, mask in first_masks.items()}
        # With fewer inputs each must weigh more, or the signal dies out layer by layer (Evci et
        # al., "Gradient Flow in Sparse Neural Networks", https://arxiv.org/abs/2010.03533, section
        # 3.1). RigL at 90 %: +0.5 dB.
        for name, mask in first_masks.items():
            params[name] = params[name] / np.float32(np.sqrt(max(mask.mean(), 1 / mask.size)))
        params = apply_masks(params, masks)
        trained = self.trained(params)
        log2_steps = {name: jnp.zeros((), jnp.float32) for name in trained}
        momentum = {}
        if rule is not None and rule.NEEDS_MOMENTUM:
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
        """Return the picture's mean squared error, as far as sizes[i] pixels of each signal tell
        it."""
        errors = [
            signal_error(
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
        perturb: Perturbation,
        state: State,
        data: tuple[Data, ...],
        x: Inputs,
        own: OwnInputs,
        held: Held,
    ) -> tuple[State, jax.Array]:
        """One step of one member, and the error of its batch."""
        fixed = {name: state.params[name] for name in self.fixed}
        trained = self.trained(state.params)
        noise_key = step_key(state.key, x.step, FOR_NOISE)
        inputs = PerturbInputs(state.masks, noise_key, own.budget_bits, held)
        perturbed, pull_back = jax.vjp(
            lambda trained, log2_steps: perturb(trained, log2_steps, inputs),
            trained,
            state.log2_steps,
        )
        # The error depends on the weights by way of the perturbed ones alone. So its gradient in
        # those is summed up over the slices of the batch first, and pulled back through the
        # perturbation once, together with the price of the bits, by the chain rule.
        error_grads, error = self.gradient(perturbed.weights, fixed, data, x.start)
        price = jnp.zeros((), jnp.float32)
        if held.rate is not None and held.rate.lambda_per_bit is not None:
            price = held.rate.lambda_per_bit
        free = jax.tree.map(jnp.zeros_like, perturbed.log2_steps)
        grads, step_grads = pull_back(Perturbed(error_grads, price, free))
        momentum = {
            name: _MOMENTUM * m + (1 - _MOMENTUM) * error_grads[name]
            for name, m in state.momentum.items()
        }
        updates, opt = self.optimizer.make(trained).update(grads, state.opt, trained)
        densities = {name: jnp.mean(mask.astype(jnp.float32)) for name, mask in state.masks.items()}
        updates = {
            name: u * (own.rate * self.optimizer.share_of_rate(u.shape, densities.get(name, 1.0)))
            for name, u in updates.items()
        }
        log2_steps, step_opt = perturbed.log2_steps, state.step_opt
        if perturb.MOVES_STEPS:
            step_updates, step_opt = optax.adam(LEARNED_STEP_RATE).update(
                step_grads, step_opt, log2_steps
            )
            log2_steps = optax.apply_updates(log2_steps, step_updates)
        params = apply_masks(optax.apply_updates(trained, updates), state.masks) | fixed
        moved = state._replace(
            params=params, log2_steps=log2_steps, opt=opt, step_opt=step_opt, momentum=momentum
        )
        return moved, error

    @functools.partial(jax.jit, static_argnums=(0, 1, 2))
    def run_block(
        self,
        perturb: Perturbation,
        is_trial: bool,
        state: State,
        data: tuple[Data, ...],
        xs: Inputs,
        own: OwnInputs,
        held: Held,
    ) -> tuple[State, jax.Array]:
        """Run the active ones of n steps, n fixed, of all members.

        Args:
          is_trial: the members are starts of one fit, with all but the state in common.
        Returns:
          The new state, and the errors f32[members, n].
        """

        def steps(
            state: State, data: tuple[Data, ...], xs: Inputs, own: OwnInputs, held: Held
        ) -> tuple[State, jax.Array]:
            def body(state: State, each: tuple[Inputs, OwnInputs]) -> tuple[State, jax.Array]:
                x, own = each
                # A short block would be another compilation: surplus steps are skipped instead.
                after: tuple[State, jax.Array] = jax.lax.cond(
                    x.active,
                    lambda state: self.step(perturb, state, data, x, own, held),
                    lambda state: (state, jnp.float32(0)),
                    state,
                )
                return after

            return jax.lax.scan(body, state, (xs, own))

        is_shared = (is_trial, True, is_trial, is_trial)
        run = over_members(steps, len(state.key), is_shared)
        return run(state, data, xs, own, held)

    def n_validation_pixels(self, data: tuple[Data, ...]) -> int:
        """Pixels of all parts that `validate` looks at."""
        return self._n_validation_slices(data) * sum(self.slices)

    def _n_validation_slices(self, data: tuple[Data, ...]) -> int:
        n_available = min(
            (part.position.shape[1] - self.n_slices * n) // n
            for part, n in zip(data, self.slices, strict=True)
        )
        return max(1, min(_VALIDATION_PIXELS // max(self.slices), n_available))

    @functools.partial(jax.jit, static_argnums=0)
    def validate(self, state: State, data: tuple[Data, ...], qparams: Params) -> jax.Array:
        """Error over the first pixels of each shuffled signal, weights rounded, f32[members]."""
        n_slices = self._n_validation_slices(data)
        starts = np.arange(n_slices, dtype=np.int32)[:, None] * np.array(self.slices, np.int32)

        def errors(
            params: Params, masks: Masks, data: tuple[Data, ...], qparams: Params
        ) -> jax.Array:
            fixed = {name: params[name] for name in self.fixed}
            rounded = round_straight_through(self.trained(params), qparams, self.quantizer, masks)
            each = jax.lax.map(
                lambda starts: self.error(rounded | fixed, data, starts, self.slices), starts
            )
            return jnp.mean(each)

        validate = over_members(lambda _, *own: ((), errors(*own)), len(state.key), (False,) * 4)
        found: jax.Array = validate((), state.params, state.masks, data, qparams)[1]
        return found

    @functools.partial(jax.jit, static_argnums=0)
    def update_masks(
        self, state: State, keep_counts: Params, progress: jax.Array, step: jax.Array
    ) -> State:
        """Return the state with new masks. step: u32[], number of the step that comes next."""
        update = over_members(self._update_masks, len(state.key), (False, True, True))
        changed: State = update(state, keep_counts, progress, step)[0]
        return changed

    def _update_masks(
        self, state: State, keep_counts: Params, progress: jax.Array, step: jax.Array
    ) -> tuple[State, tuple[()]]:
        # Weights that grow begin at zero, without momentum.
        assert self.mask_rule is not None
        trained = self.trained(state.params)
        key = step_key(state.key, step, FOR_MASKS)
        masks = self.mask_rule.update(
            state.masks, trained, state.momentum, keep_counts, progress, key
        )
        stays = {name: masks[name] & state.masks[name] for name in masks}

        def forget(path: tuple[object, ...], leaf: jax.Array) -> jax.Array:
            name = path[-1].key if isinstance(path[-1], jax.tree_util.DictKey) else None
            if name in stays and leaf.shape == stays[name].shape:
                return jnp.where(stays[name], leaf, np.float32(0))
            return leaf

        opt = jax.tree_util.tree_map_with_path(forget, state.opt)
        params = state.params | apply_masks(trained, stays)
        return state._replace(params=params, opt=opt, masks=masks), ()
