"""One step of training: loss, gradient, Adam, running mean of the weights.

A step draws a lambda for each picture of the batch, evenly over the model's range; a slimmable
model runs all its widths instead, each with its own lambda. Weights are kept as a running mean too,
which is what is exported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from inr.cae.layers import shapes
from inr.cae.model import Model
from inr.cae.training.autoencoder import Params, forward, init, vectors
from inr.cae.training.settings import TrainSettings
from inr.errors import UsageError
from inr.fitting.random_keys import seed_key

_PRIOR_RATE = 5.0  # times the learning rate, as Yang et al. 2020 have it


class State(NamedTuple):
    """All that a step changes."""

    params: Params
    mean: Params  # the running mean of params
    adam: Any
    step: jax.Array  # i32[], steps done


@dataclass(frozen=True)
class Training:
    """The functions of a training, which depend on nothing else.

    is_trained: of a group and a tensor, whether it moves; all do if it is not given.
    """

    model: Model
    settings: TrainSettings
    is_trained: Callable[[str, str], bool] = field(default=lambda group, name: True)
    conv_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        # Here, not in TrainSettings: `--set` changes one of the two numbers after the other.
        s = self.settings
        if not 0 <= s.warmup_steps < s.steps:
            raise UsageError(
                f"warmup_steps={s.warmup_steps}: expected 0 or more, and fewer than the {s.steps} "
                "steps of the whole training"
            )

    def start(self, given: Params | None = None) -> State:
        """Make the state before the first step: of the seed, or as it is given.

        given: of a model with the same chains; tensors that it lacks begin by the seed.
        """
        params = init_params(self.model, self.settings.seed)
        for group, tensors in (given or {}).items():
            own = params.get(group, {})
            own |= {name: jnp.copy(t) for name, t in tensors.items() if name in own}
        mean = jax.tree.map(jnp.copy, params)  # its own: both are donated
        return State(params, mean, self._optimizer().init(params), jnp.zeros((), jnp.int32))

    def steps(
        self, state: State, pictures: jax.Array, lambdas: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        """Take several steps; to be compiled once.

        Args:
          pictures: u8[steps, n, side, side, 3].
          lambdas: f32[widths] of a slimmable model, otherwise not used.
        Returns:
          The state behind them, and "loss", "mse" and "bpp" f32[steps].
        """

        def one(state: State, x: jax.Array) -> tuple[State, dict[str, jax.Array]]:
            return self._step(state, x, lambdas)

        if len(pictures) == 1:  # XLA on CPU runs convolutions inside a loop fifteen times slower
            state, metrics = one(state, pictures[0])
            return state, {name: value[None] for name, value in metrics.items()}
        return lax.scan(one, state, pictures)

    def _step(
        self, state: State, x: jax.Array, lambdas: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        s = self.settings
        key = jax.random.fold_in(seed_key(s.seed), state.step)
        is_hard = state.step >= round(s.hard_from * s.steps)
        pixels = x.astype(jnp.float32) / 255
        loss = self._slim_loss if self.model.widths else self._loss
        gradient, metrics = jax.grad(loss, has_aux=True)(
            state.params, pixels, lambdas, key, is_hard
        )
        moves, adam = self._optimizer().update(gradient, state.adam, state.params)
        params = optax.apply_updates(state.params, moves)
        # Early on the mean follows faster, or the first weights would stay in it for long.
        keep = jnp.minimum(s.ema, (1.0 + state.step) / (10.0 + state.step))
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, state.mean, params)
        return State(params, mean, adam, state.step + 1), metrics

    def _loss(
        self, params: Params, x: jax.Array, lambdas: jax.Array, key: jax.Array, is_hard: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        n = len(x)
        shift_key, noise_key = jax.random.split(key)
        # One from each of n equal parts of the range: even in each batch, not only on average.
        share = (jnp.arange(n) + jax.random.uniform(shift_key, (n,))) / n
        low, high = jnp.log(self.model.lambda_low), jnp.log(self.model.lambda_high)
        lambdas = jnp.exp(low + share * (high - low))
        return self._loss_at(self.model, params, x, 2 * share - 1, lambdas, noise_key, is_hard)

    def _slim_loss(
        self, params: Params, x: jax.Array, lambdas: jax.Array, key: jax.Array, is_hard: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        total = jnp.zeros(())
        each_metrics: list[dict[str, jax.Array]] = []
        for i, width in enumerate(self.model.widths):
            narrow = self.model.at_width(width)
            own = slice_width(params, narrow)
            each = jnp.broadcast_to(lambdas[i], len(x))
            loss, metrics = self._loss_at(narrow, own, x, jnp.zeros(len(x)), each, key, is_hard)
            total, each_metrics = total + loss, [*each_metrics, metrics]
        n = len(each_metrics)
        return total / n, jax.tree.map(lambda *each: sum(each) / n, *each_metrics)

    def _loss_at(
        self,
        model: Model,
        params: Params,
        x: jax.Array,
        position: jax.Array,
        lambdas: jax.Array,
        key: jax.Array,
        is_hard: jax.Array,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        scales = vectors(model, params, position)
        pixels, bits = forward(
            model, params, x, scales, key, is_hard=is_hard, conv_dtype=self.conv_dtype
        )
        bpp = bits / (x.shape[1] * x.shape[2])
        distortion = self.settings.distortion(x, pixels)
        # Without the power the pictures of one end of the range would make up most of the sum.
        loss = ((distortion + lambdas * bpp) / lambdas**self.settings.balance).mean()
        mse = jnp.square(pixels - x).mean()
        return loss, {"loss": loss, "mse": mse, "bpp": bpp.mean()}

    def _optimizer(self) -> optax.GradientTransformation:
        s = self.settings

        def adam(factor: float) -> optax.GradientTransformation:
            rate = optax.warmup_cosine_decay_schedule(
                init_value=0.0,
                peak_value=factor * s.learning_rate,
                warmup_steps=s.warmup_steps,
                decay_steps=s.steps,
                end_value=factor * s.learning_rate * s.last_rate,
            )
            return optax.adam(rate)

        def label(params: Params) -> dict[str, dict[str, str]]:
            return {
                group: {name: self._label(group, name) for name in tensors}
                for group, tensors in params.items()
            }

        parts = {"network": adam(1.0), "prior": adam(_PRIOR_RATE), "frozen": optax.set_to_zero()}
        return optax.chain(
            optax.clip_by_global_norm(s.clip_norm), optax.multi_transform(parts, label)
        )

    def _label(self, group: str, name: str) -> str:
        if not self.is_trained(group, name):
            return "frozen"
        return "prior" if group.startswith("prior") else "network"


def init_params(model: Model, seed: int) -> Params:
    """Make the weights before the first step, of a slimmable model GDN and prior of each width."""
    params = init(model, seed_key(seed))
    for width in model.widths:
        narrow = model.at_width(width)
        for group, tensors in init(narrow, seed_key(seed)).items():
            name = f"prior@{width}" if group == "prior" else group
            params.setdefault(name, {})
            params[name] |= {k: v for k, v in tensors.items() if k not in params[name]}
    return params


def slice_width(params: Params, narrow: Model) -> Params:
    """Cut out the weights of one width: corners of the kernels, its own GDN and prior."""
    found: Params = {"prior": params[f"prior@{narrow.n_latents}"]}
    for group, chain in narrow.chains().items():
        found[group] = {
            name: params[group][name][tuple(slice(n) for n in shape)]
            for name, shape in shapes(chain).items()
        }
    return found
