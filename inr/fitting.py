"""The host's side of a fit: block after block of jitted steps.

Between blocks: progress, checkpoint, the check for NaN, the change from noise to rounding, where
the quantizer's steps are corrected by the size of the real file, and the best snapshot.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.checkpoint import Checkpoint
from inr.fields.protocol import Field, n_weights
from inr.fit_settings import FitSettings
from inr.fit_step import Data, Loop, State
from inr.fit_types import Budget, Codes, FitError, Fitted, NotANumberError, Progress, Signal, Steps
from inr.landing import landed_steps
from inr.quantize.ste import budgeted_steps
from inr.quantize.uniform import MAX_CODE, Uniform, wire_step
from inr.sizing import AIM

_CPU_BLOCK_WORK = 1e11  # floating-point operations of a block, about a second on two cores
_GPU_BLOCK_WORK = 2e13  # the same on a GPU
_MAX_BLOCK = 200  # steps
_CPU_BATCH = 12288  # pixels; with fewer, noise makes hard pictures unstable at useful rates
_CPU_SLICE = 8192  # pixels, at most; larger ones leave the cache and take an eighth longer
_GPU_MAX_ACTIVATIONS = 1 << 32  # sines and cosines of a full batch, 16 GB
_SCHEDULE_TICKS = 1_000_000  # resolution of the schedule
_EARLY_BITS = 2.0  # a weight, above the budget at the start, none from the middle of the fit
_TRIAL_SHARE = 0.3  # of a time budget, at most, for the trial of several starts
_DRAW_SPEED = 3e10  # floating-point operations a second of the decoder, cautiously
_SECONDS_BETWEEN_CHECKPOINTS = 3.0


@dataclass
class _Run:
    """One attempt: what changes from block to block."""

    state: State
    rate_scale: float  # 1, halved by each retry
    step: int = 0
    progress: float = 0.0  # 0..1: how far the schedule has come
    frozen_steps: Steps | None = None  # set when rounding begins
    n_corrections: int = 0
    best_error: float = float("inf")
    best_params: Codes | None = None  # float weights of the best snapshot, rounded later


class Fitting:
    """The host's side of a fit."""

    def __init__(
        self,
        net: Field,
        signal: Signal,
        quantizer: Uniform,
        settings: FitSettings,
        budget: Budget,
        seed: int,
        deadline: float | None,
    ) -> None:
        self.net, self.quantizer, self.settings, self.budget = net, quantizer, settings, budget
        self.seed, self.deadline = seed, deadline
        self.n_channels = signal.samples.shape[1]
        batch = _batch_size(settings, net, signal.height * signal.width)
        fixed = tuple(net.fixed_steps())
        slices = _slices(batch)
        self.loop = Loop(net, settings.optimizer, signal.has_alpha, *slices, fixed)
        self.data = _shuffled(signal, batch, seed)
        self.n_pixels = signal.height * signal.width
        self.shapes = net.shapes(self.n_channels)
        self.n_weights = n_weights({k: s for k, s in self.shapes.items() if k not in fixed})
        work = 6 * n_weights(self.shapes) * batch  # multiply and add, forward and twice backward
        n_last = max(1, round(settings.rounding * settings.steps))
        self.block_length = max(1, min(_MAX_BLOCK, int(_block_work() / work), n_last))
        self.rounding_from = 1 - n_last / settings.steps
        self.seconds_a_step = 0.0  # of the last block; 0: not known yet
        self.compile_seconds: dict[bool, float] = {}  # of blocks with noise (True), with rounding

    def run(
        self,
        rate_scale: float,
        checkpoint: Checkpoint | None,
        report: Callable[[Progress], None] | None,
    ) -> Fitted:
        run = self.resumed(rate_scale, checkpoint)
        if run is None:
            run = self.started(rate_scale)
        saved_at = time.monotonic()
        while run.progress < 1:
            if run.progress >= self.rounding_from:
                self.freeze_or_correct(run)
            error = self.advance(run)
            if run.frozen_steps is not None:
                self.keep_best(run)
            if report is not None:
                report(self.progress_of(run, error))
            if checkpoint and time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
                self.save(run, checkpoint)
                saved_at = time.monotonic()
        return self.landed(run)

    def started(self, rate_scale: float) -> _Run:
        """The first weights; of several seeds the one that is best after a trial."""
        rng = np.random.default_rng([self.seed, 1])
        states = [self.loop.start(rng, self.n_channels) for _ in range(self.settings.n_seeds)]
        run = _Run(states[0], rate_scale)
        if len(states) == 1:
            return run
        stacked: State = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        trial = min(self.settings.seed_trial, self.rounding_from)
        trial_deadline = float("inf")
        if self.deadline is not None:
            seconds_left = self.deadline - time.monotonic()
            trial_deadline = time.monotonic() + _TRIAL_SHARE * seconds_left
        errors = np.zeros(len(states))
        while run.progress < trial and time.monotonic() < trial_deadline:
            xs, end = self.next_block(run, trial)
            n_active = int(xs["active"].sum())
            stacked, block_errors = self.loop.block_of_seeds(stacked, xs, self.data)
            errors = np.asarray(block_errors)[:, :n_active].mean(axis=1)
            run.step, run.progress = run.step + n_active, end
        best = int(np.argmin(np.nan_to_num(errors, nan=np.inf)))
        run.state = jax.tree.map(lambda leaf: leaf[best], stacked)
        return run

    def next_block(self, run: _Run, edge: float) -> tuple[dict[str, Any], float]:
        """What the steps of the next block read, and the progress at its end, at most `edge`."""
        settings = self.settings
        pace = 1 / settings.steps
        if self.deadline is not None and self.seconds_a_step > 0:
            seconds_left = max(self.deadline - self.reserved(run) - time.monotonic(), 1e-3)
            pace = max(pace, (1 - run.progress) * self.seconds_a_step / seconds_left)
        n_wanted = max(1, int(np.ceil((edge - run.progress) / pace - 1e-6)))
        n_active = min(self.block_length, n_wanted)
        end = edge if n_active == n_wanted else run.progress + n_active * pace
        warmup_ticks = min(int(settings.warmup * _SCHEDULE_TICKS), _SCHEDULE_TICKS - 1)
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, 1.0, warmup_ticks, _SCHEDULE_TICKS, settings.final_rate
        )
        i = np.arange(self.block_length)
        steps = run.step + i.astype(np.int64)
        fraction = run.progress + (end - run.progress) * (i + 0.5) / n_active
        extra_bits = _EARLY_BITS * np.maximum(0, 1 - 2 * fraction)
        ticks = jnp.asarray(np.minimum(fraction, 1) * _SCHEDULE_TICKS, jnp.float32)
        return {
            "active": i < n_active,
            "start": (steps * self.loop.batch % self.n_pixels).astype(np.int32),
            "rate": run.rate_scale * schedule(ticks),
            "noise": ((steps + (self.seed << 24)) % (1 << 32)).astype(np.uint32),
            "budget_bits": self.budget.bits + self.n_weights * extra_bits.astype(np.float32),
        }, end

    def reserved(self, run: _Run) -> float:
        """Seconds that are not for steps: compiling the blocks with rounding, coding and one
        drawing of the picture."""
        draw_seconds = 2 * n_weights(self.shapes) * self.n_pixels / _DRAW_SPEED
        compiling = run.frozen_steps is None or False not in self.compile_seconds
        return draw_seconds + (1.5 * self.compile_seconds.get(True, 0.0) if compiling else 0.0)

    def advance(self, run: _Run) -> float:
        """Runs one block; returns its mean error."""
        edge = 1.0 if run.frozen_steps is not None else self.rounding_from
        xs, end = self.next_block(run, edge)
        n_active = int(xs["active"].sum())
        frozen = None
        if run.frozen_steps is not None:
            frozen = {name: jnp.float32(q_step) for name, q_step in run.frozen_steps.items()}
        if self.compile_seconds.get(frozen is None) is None:
            started_at = time.monotonic()
            idle = xs | {"active": np.zeros_like(xs["active"])}
            run.state, _ = self.loop.block(run.state, idle, self.data, frozen)
            self.compile_seconds[frozen is None] = time.monotonic() - started_at
        started_at = time.monotonic()
        run.state, errors = self.loop.block(run.state, xs, self.data, frozen)
        active_errors = np.asarray(errors)[:n_active]
        self.seconds_a_step = (time.monotonic() - started_at) / n_active
        if not np.isfinite(active_errors).all():
            raise NotANumberError(run.step + int(np.argmin(np.isfinite(active_errors))))
        run.step, run.progress = run.step + n_active, end
        return float(active_errors.mean())

    def freeze_or_correct(self, run: _Run) -> None:
        """Fixes the quantizer's steps when rounding begins, and once more a third later, each
        time so that the real file meets the target."""
        if run.frozen_steps is None:
            trained = self.loop.trained(run.state.params)
            q_steps = budgeted_steps(trained, run.state.log2_steps, self.budget.bits)
            fresh = {name: float(q) for name, q in q_steps.items()}
            run.frozen_steps = _scaled(fresh, 1.0, self.numpy_params(run.state))
        elif run.n_corrections > 1 or run.progress < (2 * self.rounding_from + 1) / 3:
            return
        run.n_corrections += 1
        run.best_error, run.best_params = float("inf"), None  # older ones are not comparable
        if self.budget.max_bytes is not None:
            params = self.numpy_params(run.state)
            for _ in range(2):
                n_bytes = len(self.budget.file_of(*self.coded(params, run.frozen_steps)))
                excess_bits = 8 * (n_bytes - AIM * self.budget.max_bytes)
                factor = 2 ** (excess_bits / self.n_weights)
                run.frozen_steps = _scaled(run.frozen_steps, factor, params)

    def keep_best(self, run: _Run) -> None:
        assert run.frozen_steps is not None
        frozen = {name: jnp.float32(q_step) for name, q_step in run.frozen_steps.items()}
        error = float(self.loop.validate(run.state.params, self.data, frozen))
        if not np.isfinite(error):  # the last step of a block shows only here
            raise NotANumberError(run.step)
        if run.best_params is None or error < run.best_error:
            run.best_error, run.best_params = error, self.numpy_params(run.state)

    def landed(self, run: _Run) -> Fitted:
        """The best snapshot as codes; its steps change only if the file missed its target."""
        assert run.best_params is not None
        assert run.frozen_steps is not None
        max_bytes, params = self.budget.max_bytes, run.best_params
        if max_bytes is None:
            return Fitted(*self.coded(params, run.frozen_steps), run.step)
        q_steps = landed_steps(
            run.frozen_steps,
            max_bytes,
            lambda steps, octaves: _scaled(steps, 2**octaves, params),
            lambda steps: len(self.budget.file_of(*self.coded(params, steps))),
            self.n_weights,
        )
        if q_steps is None:
            raise FitError(
                f"{self.n_weights} weights do not fit into {max_bytes} bytes; "
                "give a larger target or a smaller field.hidden"
            )
        return Fitted(*self.coded(params, q_steps), run.step)

    def coded(self, params: Codes, q_steps: Steps) -> tuple[Codes, Steps]:
        """All tensors in file order as codes, with the steps of all of them."""
        fixed = self.net.fixed_steps()
        all_steps = {name: fixed[name] if name in fixed else q_steps[name] for name in params}
        codes = {name: self.quantizer.codes(w, all_steps[name]) for name, w in params.items()}
        return codes, all_steps

    def numpy_params(self, state: State) -> Codes:
        # In file order: jax hands dicts back sorted by name.
        return {name: np.asarray(state.params[name]) for name in self.shapes}

    def progress_of(self, run: _Run, error: float) -> Progress:
        left = (1 - run.progress) * self.settings.steps
        seconds_left = left * self.seconds_a_step
        if self.deadline is not None:
            seconds_left = min(seconds_left, max(0.0, self.deadline - time.monotonic()))
        psnr_db = float(-10 * np.log10(max(error, 1e-30)))
        return Progress(run.step, run.step + round(left), psnr_db, seconds_left)

    def save(self, run: _Run, checkpoint: Checkpoint) -> None:
        numbers = {
            name: value for name, value in vars(run).items() if name not in ("state", "best_params")
        }
        numbers["has_best"] = run.best_params is not None
        leaves = jax.tree.leaves((run.state, run.best_params))
        checkpoint.save(numbers, [np.asarray(leaf) for leaf in leaves])

    def resumed(self, rate_scale: float, checkpoint: Checkpoint | None) -> _Run | None:
        """The run as the checkpoint has it, if there is one of this attempt."""
        stored = checkpoint.load() if checkpoint is not None else None
        if stored is None or stored[0]["rate_scale"] != rate_scale:
            return None
        numbers, arrays = stored
        like = self.loop.start(np.random.default_rng(0), self.n_channels)
        best = like.params if numbers.pop("has_best") else None
        leaves, tree = jax.tree.flatten((like, best))
        if [leaf.shape for leaf in leaves] != [array.shape for array in arrays]:
            raise ValueError("the checkpoint has other tensors; delete it to start again")
        state, best_params = jax.tree.unflatten(tree, [jnp.asarray(array) for array in arrays])
        if best_params is not None:
            best_params = {name: np.asarray(best_params[name]) for name in self.shapes}
        return _Run(state=state, best_params=best_params, **numbers)


def _scaled(q_steps: Steps, factor: float, params: Codes) -> Steps:
    """The steps times a factor, as a file can hold them, none so fine that codes would be cut."""
    scaled = {}
    for name, q_step in q_steps.items():
        finest = float(np.abs(params[name]).max()) / MAX_CODE * (1 + 2**-7)  # wire_step rounds
        scaled[name] = wire_step(max(q_step * factor, finest))
    return scaled


def _block_work() -> float:
    return _CPU_BLOCK_WORK if jax.default_backend() == "cpu" else _GPU_BLOCK_WORK


def _batch_size(settings: FitSettings, net: Field, n_pixels: int) -> int:
    if settings.batch is not None:
        return min(settings.batch, n_pixels)
    n_activations = n_pixels * net.hidden * net.n_layers * 2  # sines and cosines
    if jax.default_backend() == "gpu" and n_activations <= _GPU_MAX_ACTIVATIONS:
        return n_pixels
    return min(_CPU_BATCH, n_pixels)


def _slices(batch: int) -> tuple[int, int]:
    """Pixels of a slice and number of slices in a batch."""
    n_slices = -(-batch // _CPU_SLICE)
    if jax.default_backend() != "cpu" or batch % n_slices:
        return batch, 1
    return batch // n_slices, n_slices


def _shuffled(signal: Signal, batch: int, seed: int) -> Data:
    order = np.random.default_rng([seed, 0]).permutation(signal.height * signal.width)
    order = np.concatenate([order, order[:batch]]).astype(np.int32)
    low, high = np.array(signal.ranges, np.float32).T
    peak = np.float32(np.iinfo(signal.samples.dtype).max)
    return Data(
        position=jnp.asarray(order),
        samples=jnp.asarray(signal.samples[order]),
        low=jnp.asarray(low),
        span=jnp.asarray(high - low),
        weight=jnp.asarray(((high - low) / peak) ** 2),
        size=jnp.array([signal.height, signal.width], jnp.int32),
    )
