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

from inr.checkpoint import Checkpoint
from inr.fields.protocol import n_weights
from inr.finish import Finisher
from inr.fit_data import batch_pixels, block_steps, shuffled, slices_of
from inr.fit_guard import guard
from inr.fit_rounding import freeze_or_correct, keep_best, landed
from inr.fit_run import Member, Run, restored, saved
from inr.fit_settings import FitSettings
from inr.fit_step import Inputs, Loop, RateTerm, State
from inr.fit_types import Codes, Fitted, Job, NotANumberError, Progress
from inr.quantize.ste import budgeted_steps
from inr.rate import coder_curves
from inr.sparsify.masks import n_kept_weights

_SCHEDULE_TICKS = 1_000_000  # resolution of the schedule
_EARLY_BITS = 2.0  # a weight, above the budget at the start, none from the middle of the fit
_TRIAL_SHARE = 0.3  # of a time budget, at most, for the trial of several starts
_DRAW_SPEED = 3e10  # floating-point operations a second of the decoder, cautiously
_SECONDS_BETWEEN_CHECKPOINTS = 3.0

T = TypeVar("T")


class Fitting:
    """The host's side of one fit or a batch of like fits.

    All jobs have the same joint, sizes of signals, kinds of quantizer and of sparsifier; they may
    differ in pictures, seeds, budgets and sparsity.
    """

    def __init__(
        self, jobs: Sequence[Job], settings: FitSettings, deadline: float | None = None
    ) -> None:
        self.jobs, self.settings, self.deadline = jobs, settings, deadline
        first = jobs[0]
        joint, signals = first.joint, first.signals
        batch = batch_pixels(settings, joint, signals)
        slices, n_slices = slices_of(batch)
        # Of quantizer and sparsifier only what all jobs share stands in the loop: sparsity reaches
        # it as counts, bits as budget and levels. Fits that differ in them share a compilation.
        self.loop = Loop(
            joint,
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
        self.shapes = joint.shapes()
        self.trained_shapes = joint.trained_shapes()
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
        self.seconds_a_step = 0.0  # of the last block; 0: not known yet
        self.compile_seconds: dict[bool, float] = {}  # of blocks with noise (True), with rounding

    @property
    def is_batch(self) -> bool:
        return len(self.jobs) > 1

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
        checkpoint: Checkpoint | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> list[Fitted]:
        """Fits all jobs.

        Raises:
          NotANumberError: a loss that is no number.
          FitError: codes that do not fit the budget.
        """
        run = self.resumed(rate_scale, checkpoint)
        if run is None:
            run = self.started(rate_scale)
        saved_at = time.monotonic()
        while run.progress < 1:
            if run.progress >= self.rounding_from:
                freeze_or_correct(self, run)
            errors = self.advance(run)
            guard(self, run, errors)
            self.sparsify(run)
            if run.is_rounding:
                keep_best(self, run)
            if report is not None:
                report(self.progress_of(run, float(errors.mean())))
            if checkpoint and time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
                self.save(run, checkpoint)
                saved_at = time.monotonic()
        return [landed(self, run, i) for i in range(len(self.jobs))]

    def started(self, rate_scale: float) -> Run:
        """The first weights; of several seeds the one that is best after a trial."""
        rngs = [np.random.default_rng([job.seed, 1]) for job in self.jobs]
        n_seeds = self.settings.n_seeds
        states = [
            self.loop.start(rng, job.sparsifier)
            for job, rng in zip(self.jobs, rngs, strict=True)
            for _ in range(n_seeds)
        ]
        members = [Member() for _ in self.jobs]
        if n_seeds == 1:
            run = Run(self.stacked(states), members, rate_scale)
        else:
            run = self.best_start(states, Run(states[0], members, rate_scale))
        self.count_kept(run)
        if self.settings.rate_lambda is not None:
            self.start_rate_term(run)
        return run

    def best_start(self, states: list[State], run: Run) -> Run:
        """The run with the best of several states after some steps with each."""
        stacked = _stack(states)
        trial = min(self.settings.seed_trial, self.rounding_from)
        trial_deadline = float("inf")
        if self.deadline is not None:
            seconds_left = self.deadline - time.monotonic()
            trial_deadline = time.monotonic() + _TRIAL_SHARE * seconds_left
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
        ticks = jnp.asarray(np.minimum(fraction, 1) * _SCHEDULE_TICKS, jnp.float32)
        starts = [steps * n % size for n, size in zip(self.batch, self.sizes, strict=True)]
        per_job = [
            (
                run.rate_scale * run.members[j].rate_scale * schedule(ticks),
                ((steps + (job.seed << 24)) % (1 << 32)).astype(np.uint32),
                self.allowed_bits(run, j, fraction).astype(np.float32),
            )
            for j, job in enumerate(self.jobs)
        ]
        rate, noise, budget_bits = self.stacked(per_job)
        return Inputs(
            active=i < n_active,
            start=np.stack(starts, axis=1).astype(np.int32),
            rate=rate,
            noise=noise,
            budget_bits=budget_bits,
        ), end

    def allowed_bits(self, run: Run, j: int, progress: np.ndarray) -> np.ndarray:
        """What the codes of job j may cost: more than the budget before the middle of the fit,
        and as much a weight while there are still more of them."""
        extra_bits = _EARLY_BITS * np.maximum(0, 1 - 2 * progress)
        allowed = self.jobs[j].budget.bits + self.finishers[j].n_kept * extra_bits
        share: float = run.members[j].kept_share
        return np.asarray(allowed * share)

    def reserved(self, run: Run) -> float:
        """Seconds that are not for steps: compiling the blocks with rounding, coding and one
        drawing of the picture."""
        draw_seconds = 2 * n_weights(self.shapes) * max(self.sizes) / _DRAW_SPEED
        compiling = not run.is_rounding or False not in self.compile_seconds
        return draw_seconds + (1.5 * self.compile_seconds.get(True, 0.0) if compiling else 0.0)

    def advance(self, run: Run) -> np.ndarray:
        """Runs one block; returns the mean error of its second half for each job, f64[n_jobs]."""
        edge = 1.0 if run.is_rounding else self.rounding_from
        if run.n_mask_updates < len(self.mask_edges):
            edge = min(edge, self.mask_edges[run.n_mask_updates])
        xs, end = self.next_block(run, edge)
        n_active = int(xs.active.sum())
        block = self.loop.block_of_jobs if self.is_batch else self.loop.block
        levels, rate = self.device_levels(run), self.rate_term(run)
        if self.compile_seconds.get(not run.is_rounding) is None:
            started_at = time.monotonic()
            idle = xs._replace(active=np.zeros_like(xs.active))
            run.state, _ = block(run.state, idle, self.data, levels, rate)
            self.compile_seconds[not run.is_rounding] = time.monotonic() - started_at
        started_at = time.monotonic()
        run.state, errors = block(run.state, xs, self.data, levels, rate)
        active_errors = np.asarray(errors)[..., :n_active].reshape(-1, n_active)
        self.seconds_a_step = (time.monotonic() - started_at) / n_active
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
        seeds = [np.uint32(run.step + (job.seed << 24) & 0xFFFFFFFF) for job in self.jobs]
        update = self.loop.sparsified_jobs if self.is_batch else self.loop.sparsified
        run.state = update(
            run.state,
            self.keep_counts,
            jnp.float32(run.progress),
            self.stacked([jnp.asarray(seed) for seed in seeds]),
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
        if self.settings.rate_lambda is None or run.is_rounding:
            return None
        terms = []
        for i, job in enumerate(self.jobs):
            state, budget = self.member(run.state, i), job.budget
            q_steps = {name: 2.0 ** float(x) for name, x in state.log2_steps.items()}
            curves = coder_curves(self.finishers[i].rounded(self.numpy_params(run, i), q_steps))
            per_bit = None
            if budget.max_bytes is None:
                per_bit = jnp.float32(self.settings.rate_lambda / budget.n_pixels)
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
        seconds_left = left * self.seconds_a_step
        if self.deadline is not None:
            seconds_left = min(seconds_left, max(0.0, self.deadline - time.monotonic()))
        psnr_db = float(-10 * np.log10(max(error, 1e-30)))
        return Progress(run.step, run.step + round(left), psnr_db, seconds_left)

    def save(self, run: Run, checkpoint: Checkpoint) -> None:
        checkpoint.save(*saved(run))

    def resumed(self, rate_scale: float, checkpoint: Checkpoint | None) -> Run | None:
        """The run as the checkpoint has it, if there is one of this attempt."""
        stored = checkpoint.load() if checkpoint is not None else None
        if stored is None or stored[0]["rate_scale"] != rate_scale:
            return None
        like = self.loop.start(np.random.default_rng(0), self.jobs[0].sparsifier)
        return restored(*stored, like, list(self.shapes), list(self.trained_shapes))


def _stack(trees: list[T]) -> T:
    """Like trees as one whose leaves have a leading axis."""
    stacked: T = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    return stacked


def _pick(stacked: T, i: int) -> T:
    """The inverse of `_stack` for one of the trees."""
    picked: T = jax.tree.map(lambda leaf: leaf[i], stacked)
    return picked
