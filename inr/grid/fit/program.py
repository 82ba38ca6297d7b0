"""The host's side of the fit of latent grids: starts, blocks of steps, snapshots, checkpoints."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import State as Stored
from inr.fitting.checkpoint import StateStore
from inr.fitting.jax_settings import platform
from inr.fitting.memory import give_back
from inr.fitting.random_keys import fit_key
from inr.fitting.time_budget import Pace, TimeBudget
from inr.grid.fit.init import first_networks
from inr.grid.fit.settings import GridFit
from inr.grid.fit.step import Data, Inputs, Loop, State, noise_pool, picked
from inr.grid.structure import Pyramid
from inr.mlp.fit.problem import NotANumberError
from inr.options import Progress

_MAX_RETRIES = 3  # after a NaN, each at half the rates
_BLOCK_PIXELS = 12_000_000  # steps times pixels of a block: two to five seconds on two cores
_MOST_STEPS, _BLOCKS = 50, 20  # of a block; blocks of a fit, at least
_SPREAD = 0.3  # of all starts but the first around the prior
_SNAPSHOTS_FROM = 0.5  # of the fit; before, later ones are always better


@dataclass(frozen=True)
class FitProblem:
    """One picture to be fitted."""

    picture: np.ndarray  # f32[c, height, width] in 0..1
    lambda_: float  # weight of a bit per pixel against MSE
    seed: int


@dataclass(frozen=True)
class FitResult:
    """What a fit ends in."""

    params: dict[str, np.ndarray]  # f32 tensors of the networks
    unrounded: list[np.ndarray]  # f32[h, w] of each level: the latents in codes
    lambda_: float  # with which it ended
    n_steps: int
    steered_at: float = 0.0  # progress at which lambda was last looked at

    def latents(self, dead_zone: float = 0.0) -> list[np.ndarray]:
        """The latents as int32 codes, rounded with thresholds further from zero by dead_zone."""
        return [
            (np.sign(y) * np.floor(np.abs(y) + np.float32(0.5 - dead_zone))).astype(np.int32)
            for y in self.unrounded
        ]


# (progress, progress since the last call, lambdas, MSE, bits of the latents) -> new lambdas; arrays
# are of each member.
Steer = Callable[[float, float, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


_RUN_NUMBERS = ("step", "progress", "steered_at", "rate")


@dataclass
class _Run:
    """What changes from block to block."""

    state: State
    lambdas: np.ndarray  # f64[members]
    step: int = 0
    progress: float = 0.0
    best_losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    best: State | None = None
    steered_at: float = 0.0  # progress at which the lambdas were last looked at
    rate: float = 1.0  # factor on the learning rates, halved by each retry


class GridFitting:
    """Fits several jobs whose pictures have one size, as one batch."""

    def __init__(
        self,
        jobs: Sequence[FitProblem],
        pyramid: Pyramid,
        settings: GridFit,
        time_budget: TimeBudget | None = None,
    ) -> None:
        self.jobs, self.pyramid, self.settings = jobs, pyramid, settings
        self.time_budget = time_budget
        self.loop = Loop(pyramid, settings)
        self.n_pixels = pyramid.height * pyramid.width
        self.pool = jnp.asarray(noise_pool(max(level.size for level in pyramid.levels)))
        longest = max(1, _BLOCK_PIXELS // (self.n_pixels * len(jobs)))
        self.block_length = min(longest, _MOST_STEPS, -(-settings.steps // _BLOCKS))
        self.soft_until = 1 - max(1, round(settings.tail * settings.steps)) / settings.steps
        self.pace = Pace(settings.steps, self.soft_until, self.block_length, time_budget)
        self.compile_seconds = 0.0

    def run(
        self,
        store: StateStore | None = None,
        report: Callable[[Progress], None] | None = None,
        steer: Steer | None = None,
        begin: tuple[FitResult, float] | None = None,
        after: Callable[[Pace, float], float] | None = None,
    ) -> list[FitResult]:
        """Fits all jobs.

        Args:
          store: where to save the state every few seconds, and where to go on from, in whichever
            try it was.
          report: called after each block.
          steer: may change the lambdas after each block.
          begin: of a single job, an earlier result and the progress at which to go on from it.
          after: of a time budget, the seconds of it that come after the fit, from its pace and the
            seconds that its program took to compile.
        Raises:
          FitError: NaN in spite of lower rates.
          UsageError: a time budget that cannot be kept, or a checkpoint of something else.
        """
        stored = None if store is None else store.load()
        run = None if stored is None else self._restored(stored)
        first_try = 0 if run is None else round(-math.log2(run.rate))
        for attempt in range(first_try, _MAX_RETRIES + 1):
            try:
                if run is None:
                    rate = 0.5**attempt
                    run = self._started(rate) if begin is None else self._begun(*begin, rate)
                    if store is not None and attempt > 0:  # a kill must not bring the last try back
                        store.save(*self._saved(run))
                return self._run(run, store, report, steer, after)
            except NotANumberError as error:
                run, step = None, error.step
        raise FitError(
            f"the loss stopped being a number at step {step}, also at 1/{2**_MAX_RETRIES} of the "
            "learning rates; give a lower fit.learning_rate"
        )

    def _run(
        self,
        run: _Run,
        store: StateStore | None,
        report: Callable[[Progress], None] | None,
        steer: Steer | None,
        after: Callable[[Pace, float], float] | None,
    ) -> list[FitResult]:
        """The rest of one try."""
        self._compile(run, self._data(run.lambdas))
        if self.time_budget is not None:
            self._measure(run, after)
        while run.progress < 1:
            block_at, n_before = time.monotonic(), run.step
            is_tail = run.progress >= self.soft_until
            data = self._data(run.lambdas)
            block_seconds = self._advance(run, data)
            mse, bits = self._validated(run.state, data)
            if not np.isfinite(mse + bits).all():
                raise NotANumberError(run.step)
            if run.progress >= _SNAPSHOTS_FROM:
                self._keep_best(run, mse, bits)
            if steer is not None and run.progress < 1:
                since = abs(run.progress - run.steered_at)
                lambdas = steer(run.progress, since, run.lambdas, mse, bits)
                run.steered_at = run.progress
                if not np.array_equal(lambdas, run.lambdas):
                    run.lambdas, run.best = lambdas, None  # older losses are not comparable
            if report is not None:
                report(self._progress(run, mse, bits))
            if store is not None:
                store.save_when_due(lambda: self._saved(run))
            overhead = time.monotonic() - block_at - block_seconds
            self.pace.took(is_tail, run.step - n_before, block_seconds, overhead)
        return self._fitted(run)

    def _measure(self, run: _Run, after: Callable[[Pace, float], float] | None) -> None:
        """Measures a step, and refuses a time budget in which a fit has no place."""
        started_at = time.monotonic()
        self._validated(run.state, self._data(run.lambdas))
        self.pace.step_seconds = time.monotonic() - started_at
        self.pace.first_overhead = self.pace.last_overhead = (
            self.pace.step_seconds
        )  # that very step
        if after is not None:
            self.pace.reserved = after(self.pace, self.compile_seconds)
        self.pace.require("a short fit, coding and drawing")

    def _data(self, lambdas: np.ndarray, jobs: Sequence[FitProblem] | None = None) -> Data:
        jobs = self.jobs if jobs is None else jobs
        return Data(
            np.stack([job.picture for job in jobs]),
            (lambdas / self.n_pixels).astype(np.float32),
        )

    def _started(self, rate: float) -> _Run:
        """The first networks; of several the ones that are best after a trial."""
        s = self.settings
        lambdas = np.array([job.lambda_ for job in self.jobs])
        runs = []
        # A GPU fits all starts of all jobs in the time of one. Cores don't, and would compile anew.
        for starts in self._start_batches():
            jobs = [self.jobs[i] for i, _ in starts]
            networks = [
                first_networks(
                    self.pyramid,
                    self.jobs[i].picture.mean((1, 2)),
                    np.random.default_rng([self.jobs[i].seed, 1, n]),
                    spread=_SPREAD if n else 0.0,
                )
                for i, n in starts
            ]
            keys = [fit_key(self.jobs[i].seed, n) for i, n in starts]
            lambdas_here = np.array([job.lambda_ for job in jobs])
            run = _Run(self.loop.start(networks, keys), lambdas_here, rate=rate)
            data = self._data(run.lambdas, jobs)
            self._compile(run, data)
            until = s.trial if s.n_starts > 1 else 0.0
            while run.progress < until:
                self._advance(run, data, until)
            mse, bits = self._validated(run.state, data) if until else (np.zeros(len(jobs)),) * 2
            runs.append((run, starts, mse + run.lambdas * bits / self.n_pixels))
        best: list[State] = []
        for i in range(len(self.jobs)):
            found = [
                (float(loss), picked(run.state, k))
                for run, starts, losses in runs
                for k, ((job, _), loss) in enumerate(zip(starts, losses, strict=True))
                if job == i
            ]
            best.append(min(found, key=lambda pair: pair[0] if np.isfinite(pair[0]) else np.inf)[1])
        first = runs[0][0]
        return _Run(
            self.loop.stacked(best),
            lambdas,
            first.step,
            first.progress,
            rate=rate,
        )

    def _begun(self, fitted: FitResult, progress: float, rate: float) -> _Run:
        """A run that goes on from an earlier result, with fresh optimizers."""
        (job,) = self.jobs
        state = self.loop.start([fitted.params], [fit_key(job.seed, 0)])
        latents = [jnp.asarray(y[None] / np.float32(self.settings.gain)) for y in fitted.unrounded]
        lambdas = np.array([job.lambda_ for job in self.jobs])
        return _Run(
            state._replace(latents=latents),
            lambdas,
            fitted.n_steps,
            progress,
            steered_at=fitted.steered_at,
            rate=rate,
        )

    def _start_batches(self) -> list[list[tuple[int, int]]]:
        """(job, start) of all that is tried, in batches."""
        n = self.settings.n_starts
        if n == 1 or len(self.jobs) > 1 or platform() != "cpu":
            return [[(i, k) for i in range(len(self.jobs)) for k in range(n)]]
        return [[(0, k)] for k in range(n)]

    def _advance(self, run: _Run, data: Data, until: float = 1.0) -> float:
        """One block, up to the end of the phase at most; returns the seconds that it took."""
        is_tail = run.progress >= self.soft_until
        edge = min(until, 1.0 if is_tail else self.soft_until)
        a_step = self.pace.progress_a_step(run.progress)
        n_left_here = max(1, round((edge - run.progress) / a_step))
        n = min(self.block_length, n_left_here)
        ids = np.arange(self.block_length)
        a_step = (edge - run.progress) / n_left_here
        progress = run.progress + ids * a_step
        begin, end = (self.soft_until, 1.0) if is_tail else (0.0, self.soft_until)
        xs = Inputs(
            ids < n,
            np.full(ids.size, is_tail),
            ((progress - begin) / (end - begin)).astype(np.float32),
            np.full(ids.size, run.rate, np.float32),
            (run.step + ids).astype(np.uint32),
        )
        started_at = time.monotonic()
        run.state, told = self.loop.block(run.state, xs, data, self.pool)
        last = np.asarray(told.mse)[n - 1]
        if not np.isfinite(last).any():
            raise NotANumberError(run.step)
        seconds = time.monotonic() - started_at
        run.step += n
        run.progress = edge if n == n_left_here else run.progress + n * a_step
        return seconds

    def _validated(self, state: State, data: Data) -> tuple[np.ndarray, np.ndarray]:
        """MSE and bits of the latents with all of them rounded, f64[members] each: one step of
        the loop whose result is thrown away, since another program would have to be compiled."""
        _, told = self.loop.block(state, self._still(1), data, self.pool)
        return np.asarray(told.mse)[0].astype(np.float64), np.asarray(told.bits)[0].astype(
            np.float64
        )

    def _compile(self, run: _Run, data: Data) -> None:
        """Compiles the block before there is much else in memory."""
        started_at = time.monotonic()
        self.loop.block(run.state, self._still(0), data, self.pool)
        self.compile_seconds = max(self.compile_seconds, time.monotonic() - started_at)
        give_back()

    def _still(self, n_steps: int) -> Inputs:
        """Steps of the tail that change nothing."""
        n = self.block_length
        zeros = np.zeros(n, np.float32)
        active, all_tail = np.arange(n) < n_steps, np.full(n, True)
        return Inputs(active, all_tail, zeros, zeros, np.zeros(n, np.uint32))

    def _keep_best(self, run: _Run, mse: np.ndarray, bits: np.ndarray) -> None:
        losses = mse + run.lambdas * bits / self.n_pixels
        if run.best is None:
            run.best, run.best_losses = run.state, losses
            return
        best = [
            picked(run.state if new < old else run.best, i)
            for i, (new, old) in enumerate(zip(losses, run.best_losses, strict=True))
        ]
        run.best = self.loop.stacked(best)
        run.best_losses = np.minimum(losses, run.best_losses)

    def _fitted(self, run: _Run) -> list[FitResult]:
        assert run.best is not None
        unrounded = [np.asarray(z) * np.float32(self.settings.gain) for z in run.best.latents]
        return [
            FitResult(
                {name: np.asarray(run.best.params[name][i]) for name in self.pyramid.shapes},
                [each[i] for each in unrounded],
                float(run.lambdas[i]),
                run.step,
                run.steered_at,
            )
            for i in range(len(self.jobs))
        ]

    def _progress(self, run: _Run, mse: np.ndarray, bits: np.ndarray) -> Progress:
        steps_left = round((1 - run.progress) * self.settings.steps)
        seconds_left = self.pace.seconds_for(self.settings.steps, run.progress)
        if self.time_budget is not None:
            seconds_left = min(seconds_left, max(0.0, self.time_budget.left()))
        return Progress(
            run.step,
            run.step + steps_left,
            float(np.mean(-10 * np.log10(np.maximum(mse, 1e-30)))),
            seconds_left,
            float(bits.mean()) / self.n_pixels,
        )

    def _saved(self, run: _Run) -> Stored:
        """Numbers and arrays of a run, for a checkpoint."""
        numbers: dict[str, Any] = {name: vars(run)[name] for name in _RUN_NUMBERS}
        numbers["lambdas"] = run.lambdas.tolist()
        numbers["best_losses"] = run.best_losses.tolist()
        numbers["has_best"] = run.best is not None
        leaves = jax.tree.leaves((run.state, run.best))
        return numbers, [np.asarray(leaf) for leaf in leaves]

    def _restored(self, stored: Stored) -> _Run:
        """The inverse of `_saved`."""
        numbers, arrays = stored
        networks = {name: np.zeros(s, np.float32) for name, s in self.pyramid.shapes.items()}
        like = self.loop.start(
            [networks] * len(self.jobs), [fit_key(job.seed, 0) for job in self.jobs]
        )
        template = (like, like if numbers["has_best"] else None)
        leaves, tree = jax.tree_util.tree_flatten(template)
        if [np.shape(leaf) for leaf in leaves] != [array.shape for array in arrays]:
            raise UsageError("the checkpoint has other tensors; delete it to start again")
        state, best = jax.tree_util.tree_unflatten(tree, [jnp.asarray(a) for a in arrays])
        return _Run(
            state,
            np.array(numbers["lambdas"]),
            best_losses=np.array(numbers["best_losses"]),
            best=best,
            **{name: numbers[name] for name in _RUN_NUMBERS},
        )
