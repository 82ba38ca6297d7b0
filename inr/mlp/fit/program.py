"""The host's side of a fit: block after block of jitted steps, for one fit or a batch of them.

Between blocks: progress, checkpoint, the checks for NaN and for collapse (fit_guard.py), new masks,
the weight of the rate term, and the change from noise to rounding (fit_rounding.py).
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inr.fitting.checkpoint import State as Stored
from inr.fitting.checkpoint import StateStore
from inr.fitting.random_keys import fit_key
from inr.fitting.time_budget import ROUNDING_COMPILE_SHARE, Pace, Phase, TimeBudget
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fit.data import batch_pixels, block_steps, shuffled, slices_of
from inr.mlp.fit.guard import guard
from inr.mlp.fit.problem import Codes, FitProblem, FitResult, NotANumberError
from inr.mlp.fit.rate import coder_curves
from inr.mlp.fit.rounding import first_levels, freeze_or_correct, keep_best, landed
from inr.mlp.fit.run import Member, Run, restored, saved
from inr.mlp.fit.settings import FitSettings
from inr.mlp.fit.step import Inputs, Loop, RateTerm, State
from inr.mlp.quantize.ste import budgeted_steps
from inr.mlp.quantize_weights import Finisher
from inr.mlp.sparsify.masks import n_kept_weights
from inr.options import Progress

_SCHEDULE_TICKS = 1_000_000  # resolution of the schedule
_EARLY_BITS = 2.0  # a weight, above the budget at the start, none from the middle of the fit
_TRIAL_SHARE = 0.3  # of a time budget, at most, for the trial of several starts
# Of a time budget: codings of the whole file in a block that rounds, and after the last one.
_CODINGS_A_BLOCK, _CODINGS_AT_THE_END = 3, 4
_VALIDATION_COMPILE_SHARE = 0.2  # of what rounding compiles: what comes with its first snapshot

T = TypeVar("T")


class Fitting:
    """The host's side of one fit or a batch of like fits.

    All have the same fields, sizes of signals, kinds of quantizer and of sparsifier; they may
    differ in pictures, seeds, budgets and sparsity.
    """

    def __init__(
        self,
        jobs: Sequence[FitProblem],
        settings: FitSettings,
        time_budget: TimeBudget | None = None,
    ) -> None:
        self.jobs, self.settings, self.time_budget = jobs, settings, time_budget
        first = jobs[0]
        field_set, signals = first.field_set, first.signals
        batch = batch_pixels(settings, field_set, signals)
        slices, n_slices = slices_of(batch)
        # Of quantizer and sparsifier only what all jobs share stands in the loop: sparsity reaches
        # it as counts, bits as budget and levels. Fits that differ in them share a compilation.
        self.loop = Loop(
            field_set,
            settings.optimizer,
            first.quantizer.for_training(),
            first.sparsifier.for_training(),
            signals[-1].has_alpha,
            slices,
            n_slices,
        )
        self.batch = tuple(n * n_slices for n in slices)
        self.data_of_each = [
            tuple(shuffled(s, n, job.seed) for s, n in zip(job.signals, self.batch, strict=True))
            for job in jobs
        ]
        self.data = self.stacked(self.data_of_each)
        self.sizes = [signal.height * signal.width for signal in signals]
        self.shapes = field_set.shapes()
        self.trained_shapes = field_set.trained_shapes()
        counts = [job.sparsifier.keep_counts(self.trained_shapes) for job in jobs]
        self.keep_counts = self.stacked(
            [{name: jnp.int32(n) for name, n in each.items()} for each in counts]
        )
        self.finishers = [Finisher(job, n) for job, n in zip(jobs, counts, strict=True)]
        n_last = max(1, round(settings.rounding * settings.steps))
        self.rounding_from = 1 - n_last / settings.steps
        self.block_length = block_steps(n_weights(self.shapes), sum(self.batch), n_last)
        self.mask_edges = self.mask_schedule() if counts[0] else []
        if self.mask_edges:
            longest = max(1, int(np.diff([0.0, *self.mask_edges]).max() * settings.steps))
            self.block_length = min(self.block_length, longest)
        self.pace = Pace(
            settings.steps,
            (Phase(self.rounding_from), Phase(1.0)),
            self.block_length,
            time_budget,
            tuple(self.mask_edges),
        )
        self.block_seconds = 0.0  # of the steps of the last block
        self.compiled: set[bool] = set()  # programs with noise (False), with rounding (True)

    @property
    def is_batch(self) -> bool:
        return len(self.jobs) > 1

    @property
    def block(self) -> Callable[..., tuple[State, jax.Array]]:
        """The program that runs a block of steps."""
        return self.loop.block_of_jobs if self.is_batch else self.loop.block

    def stacked(self, each: list[T]) -> T:
        """The trees of all jobs as one: as it is for a single job."""
        if not self.is_batch:
            return each[0]
        return _stack(each)

    def member(self, tree: T, i: int) -> T:
        """The inverse of `stacked`."""
        if not self.is_batch:
            return tree
        return _pick(tree, i)

    def mask_schedule(self) -> list[float]:
        """The progress at which the masks change."""
        sparsifier = self.jobs[0].sparsifier
        stop = min(sparsifier.stop, self.rounding_from)
        n_updates = min(sparsifier.n_updates, max(1, int(stop * self.settings.steps)))
        return [stop * (i + 1) / n_updates for i in range(n_updates)]

    def run(
        self,
        rate_scale: float = 1.0,
        run: Run | None = None,
        store: StateStore | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> list[FitResult]:
        """Fits all jobs.

        Args:
          rate_scale: factor on the learning rates of a run that begins here.
          run: one to go on with; None to begin.
          store: where the state is saved every few seconds.
          report: called after each block.
        Raises:
          NotANumberError: a loss that is no number.
          FitError: codes that do not fit the budget.
          TooShort: the time budget has no place for a fit.
        """
        if run is None:
            run = self.started(rate_scale)
            if store is not None and rate_scale < 1:  # else a kill would bring the last try back
                store.save(*saved(run))
        if self.time_budget is not None:
            self.measure(run)
        while run.progress < 1:
            block_at = time.monotonic()
            was_rounding = run.progress >= self.rounding_from
            if was_rounding:
                freeze_or_correct(self, run)
            n_before, errors = run.step, self.advance(run)
            guard(self, run, errors)
            self.sparsify(run)
            if run.is_rounding:
                keep_best(self, run)
            if report is not None:
                report(self.progress_of(run, float(errors.mean())))
            if store is not None:
                store.save_when_due(lambda: saved(run))
            overhead = time.monotonic() - block_at - self.block_seconds
            self.pace.learn(int(was_rounding), run.step - n_before, self.block_seconds, overhead)
        return [landed(self, run, i) for i in range(len(self.jobs))]

    def measure(self, run: Run) -> None:
        """Measures what the fit will take, and refuses a time budget in which it has no place."""
        pace = self.pace
        compiling_at = time.monotonic()
        self.compile(run)
        first_seconds = time.monotonic() - compiling_at
        xs, _ = self.next_block(run, 1.0)
        is_first = np.arange(self.block_length) == 0
        copy = jax.tree.map(jnp.copy, run.state)  # the block takes the memory of what it is given
        started_at = time.monotonic()
        xs = xs._replace(active=is_first)
        _, errors = self.block(copy, xs, self.data, self.device_levels(run), self.rate_term(run))
        np.asarray(errors)  # waits for them
        pace.step_seconds = time.monotonic() - started_at
        for _ in range(2):  # the first time it loads the coder
            coding_at = time.monotonic()
            for i in range(len(self.jobs)):
                params, masks = self.numpy_params(run, i), self.numpy_masks(run, i)
                self.finishers[i].n_bytes(params, masks, first_levels(self, run, i, params))
            code_seconds = time.monotonic() - coding_at
        validation = self.loop.n_validation_pixels(self.data_of_each[0]) / (3 * sum(self.batch))
        pace.costs.a_block[1] = _CODINGS_A_BLOCK * code_seconds + validation * pace.step_seconds
        pace.costs.reserved = _CODINGS_AT_THE_END * code_seconds
        if not run.is_rounding:
            pace.costs.compiling[1] = ROUNDING_COMPILE_SHARE * first_seconds
        pace.require("a short fit of this network, its coding and drawing")

    def compile(self, run: Run) -> None:
        """Compiles the program of the run's phase, unless it is there."""
        if run.is_rounding in self.compiled:
            return
        xs, _ = self.next_block(run, 1.0)
        idle = xs._replace(active=np.zeros_like(xs.active))
        run.state, _ = self.block(
            run.state, idle, self.data, self.device_levels(run), self.rate_term(run)
        )
        self.compiled.add(run.is_rounding)
        if run.is_rounding:  # what is left to compile is small
            self.pace.costs.compiling[1] *= _VALIDATION_COMPILE_SHARE

    def started(self, rate_scale: float) -> Run:
        """The first weights; of several seeds the one that is best after a trial."""
        rngs = [np.random.default_rng([job.seed, 1]) for job in self.jobs]
        n_seeds = self.settings.n_seeds
        states = [
            self.loop.start(rng, job.sparsifier, fit_key(job.seed, start))
            for job, rng in zip(self.jobs, rngs, strict=True)
            for start in range(n_seeds)
        ]
        members = [Member() for _ in self.jobs]
        if n_seeds == 1:
            run = Run(self.stacked(states), members, rate_scale)
        else:
            run = self.best_start(states, Run(states[0], members, rate_scale))
        self.count_kept(run)
        if self.settings.has_rate_term:
            self.start_rate_term(run)
        return run

    def best_start(self, states: list[State], run: Run) -> Run:
        """The run with the best of several states after some steps with each."""
        stacked = _stack(states)
        trial = min(self.settings.seed_trial, self.rounding_from)
        trial_deadline = float("inf")
        if self.time_budget is not None:
            trial_deadline = time.monotonic() + _TRIAL_SHARE * self.time_budget.left()
        errors = np.zeros(len(states))
        while run.progress < trial and time.monotonic() < trial_deadline:
            xs, end = self.next_block(run, trial)
            n_active = int(xs.active.sum())
            stacked, block_errors = self.loop.block_of_seeds(stacked, xs, self.data)
            errors = np.asarray(block_errors)[:, :n_active].mean(axis=1)
            run.step, run.progress = run.step + n_active, end
        best = int(np.argmin(np.nan_to_num(errors, nan=np.inf)))
        run.state = _pick(stacked, best)
        run.n_mask_updates = sum(edge <= run.progress for edge in self.mask_edges)
        return run

    def next_block(self, run: Run, edge: float) -> tuple[Inputs, float]:
        """What the steps of the next block read, and the progress at its end, at most `edge`."""
        settings = self.settings
        pace = self.pace.progress_a_step(run.progress)
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
        ticks = jnp.asarray(np.minimum(fraction, 1) * _SCHEDULE_TICKS, jnp.float32)
        starts = [steps * n % size for n, size in zip(self.batch, self.sizes, strict=True)]
        per_job = [
            (
                run.rate_scale * run.members[j].rate_scale * schedule(ticks),
                self.allowed_bits(run, j, fraction).astype(np.float32),
            )
            for j in range(len(self.jobs))
        ]
        rate, budget_bits = self.stacked(per_job)
        return Inputs(
            active=i < n_active,
            start=np.stack(starts, axis=1).astype(np.int32),
            rate=rate,
            step=(steps % (1 << 32)).astype(np.uint32),
            budget_bits=budget_bits,
        ), end

    def allowed_bits(self, run: Run, j: int, progress: np.ndarray) -> np.ndarray:
        """What the codes of job j may cost: more than the budget before the middle of the fit,
        and as much a weight while there are still more of them."""
        extra_bits = _EARLY_BITS * np.maximum(0, 1 - 2 * progress)
        allowed = self.jobs[j].budget.bits + self.finishers[j].n_kept * extra_bits
        share: float = run.members[j].kept_share
        return np.asarray(allowed * share)

    def advance(self, run: Run) -> np.ndarray:
        """Runs one block; returns the mean error of its second half for each job, f64[n_jobs]."""
        self.compile(run)
        edge = 1.0 if run.is_rounding else self.rounding_from
        if run.n_mask_updates < len(self.mask_edges):
            edge = min(edge, self.mask_edges[run.n_mask_updates])
        xs, end = self.next_block(run, edge)
        n_active = int(xs.active.sum())
        levels, rate = self.device_levels(run), self.rate_term(run)
        started_at = time.monotonic()
        run.state, errors = self.block(run.state, xs, self.data, levels, rate)
        active_errors = np.asarray(errors)[..., :n_active].reshape(-1, n_active)
        self.block_seconds = time.monotonic() - started_at
        if not np.isfinite(active_errors).all():
            first = int(np.argmin(np.isfinite(active_errors).all(axis=0)))
            raise NotANumberError(run.step + first)
        run.step, run.progress = run.step + n_active, end
        late_errors = active_errors[:, n_active // 2 :]
        mean_errors: np.ndarray = late_errors.mean(axis=1, dtype=np.float64)
        return mean_errors

    def with_member(self, tree: T, i: int, one: T) -> T:
        """The stacked tree with the leaves of job i replaced."""
        if not self.is_batch:
            return one
        replaced: T = jax.tree.map(lambda all_, leaf: all_.at[i].set(leaf), tree, one)
        return replaced

    def sparsify(self, run: Run) -> None:
        """Changes the masks when it is time."""
        if run.n_mask_updates == len(self.mask_edges):
            return
        if run.progress < self.mask_edges[run.n_mask_updates] - 1e-9:
            return
        run.n_mask_updates += 1
        update = self.loop.sparsified_jobs if self.is_batch else self.loop.sparsified
        run.state = update(
            run.state,
            self.keep_counts,
            jnp.float32(run.progress),
            jnp.uint32(run.step % (1 << 32)),
        )
        shares = [member.kept_share for member in run.members]
        self.count_kept(run)
        for member, share in zip(run.members, shares, strict=True):
            # With fewer weights errors may rise; and the last masks are not to be taken back.
            if member.kept_share != share or run.n_mask_updates == len(self.mask_edges):
                member.lowest_error, member.good_state = float("inf"), None

    def count_kept(self, run: Run) -> None:
        """Weights that are pruned on the way are many at first: the budget has to know."""
        for i, member in enumerate(run.members):
            counts = {name: int(mask.sum()) for name, mask in self.numpy_masks(run, i).items()}
            n_kept_now = n_kept_weights(self.trained_shapes, counts)
            member.kept_share = n_kept_now / self.finishers[i].n_kept

    def start_rate_term(self, run: Run) -> None:
        """First steps: those at which a Gaussian's codes meet the early budget."""
        log2_steps = []
        for i in range(len(self.jobs)):
            state = self.member(run.state, i)
            early_bits = float(self.allowed_bits(run, i, np.array(run.progress)))
            q_steps = budgeted_steps(
                self.loop.trained(state.params), state.log2_steps, early_bits, state.masks
            )
            log2_steps.append({name: jnp.log2(q_step) for name, q_step in q_steps.items()})
        run.state = run.state._replace(log2_steps=self.stacked(log2_steps))

    def rate_term(self, run: Run) -> RateTerm | None:
        """What the next block has to know of the rate."""
        if not self.settings.has_rate_term or run.is_rounding:
            return None
        terms = []
        for i, job in enumerate(self.jobs):
            state, budget = self.member(run.state, i), job.budget
            q_steps = {name: 2.0 ** float(x) for name, x in state.log2_steps.items()}
            curves = coder_curves(self.finishers[i].rounded(self.numpy_params(run, i), q_steps))
            weight = self.settings.weight_of_bpp(has_target=budget.max_bytes is not None)
            per_bit = None if weight is None else jnp.float32(weight / budget.n_pixels)
            on_device = {name: jnp.asarray(curve) for name, curve in curves.items()}
            terms.append(RateTerm(on_device, per_bit))
        return self.stacked(terms)

    def device_levels(self, run: Run) -> dict[str, jax.Array] | None:
        if not run.is_rounding:
            return None
        levels = []
        for member in run.members:
            assert member.levels is not None
            levels.append({k: jnp.asarray(v, jnp.float32) for k, v in member.levels.items()})
        return self.stacked(levels)

    def numpy_params(self, run: Run, i: int) -> Codes:
        # In file order: jax hands dicts back sorted by name.
        return {name: np.asarray(self.member(run.state.params[name], i)) for name in self.shapes}

    def numpy_masks(self, run: Run, i: int) -> dict[str, np.ndarray]:
        return {name: np.asarray(self.member(m, i)) for name, m in run.state.masks.items()}

    def progress_of(self, run: Run, error: float) -> Progress:
        left = (1 - run.progress) * self.settings.steps
        seconds_left = self.pace.seconds_for(self.settings.steps, run.progress)
        if self.time_budget is not None:
            seconds_left = min(seconds_left, max(0.0, self.time_budget.left()))
        psnr_db = float(-10 * np.log10(max(error, 1e-30)))
        return Progress(run.step, run.step + round(left), psnr_db, seconds_left)

    def restored(self, stored: Stored) -> Run:
        """The run of a single job as a checkpoint has it."""
        (job,) = self.jobs
        like = self.loop.start(np.random.default_rng(0), job.sparsifier, fit_key(job.seed, 0))
        return restored(*stored, like, list(self.shapes), list(self.trained_shapes))


def _stack(trees: list[T]) -> T:
    """Like trees as one whose leaves have a leading axis."""
    stacked: T = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    return stacked


def _pick(stacked: T, i: int) -> T:
    """The inverse of `_stack` for one of the trees."""
    picked: T = jax.tree.map(lambda leaf: leaf[i], stacked)
    return picked
