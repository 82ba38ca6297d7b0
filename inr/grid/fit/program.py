"""The fit of latent grids as the loop of fits runs it: trial of several starts, soft, tail.

In the trial several first networks of each picture are fitted; the best of them go on. In the soft
phase latents and networks learn under noise, in the tail the networks learn the rounded latents.
After each block the latents are rounded, and error and bits measured as the file will have them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from inr.fitting import loop
from inr.fitting.checkpoint import StateStore
from inr.fitting.jax_settings import platform
from inr.fitting.loop import LOSS_OF_FAILED, Block, FitRun
from inr.fitting.members import join_members, pick_members
from inr.fitting.random_keys import fit_key
from inr.fitting.time_budget import Costs, Phase, TimeBudget
from inr.grid.fit.init import first_networks
from inr.grid.fit.settings import GridFit
from inr.grid.fit.step import Data, Inputs, State, StepMetrics, Stepper, noise_pool
from inr.grid.structure import Pyramid
from inr.options import Report

TRIAL, SOFT, TAIL = range(3)  # phases
_BLOCK_PIXELS = 12_000_000  # steps times pixels of a block: two to five seconds on two cores
_MOST_STEPS, _BLOCKS = 50, 20  # of a block; blocks of a fit, at least
_SPREAD = 0.3  # of all starts but the first around the prior
_SNAPSHOTS_FROM = 0.5  # of the fit; before, later ones are always better
STEERED_UNTIL = 0.9  # of the fit: later, lambda changes little; snapshots have one lambda


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
        """Return the latents as int32 codes, rounded with thresholds further from zero by
        dead_zone."""
        return [
            (np.sign(y) * np.floor(np.abs(y) + np.float32(0.5 - dead_zone))).astype(np.int32)
            for y in self.unrounded
        ]


# (progress, progress since the last call, lambdas, MSE, bits of the latents) -> new lambdas; arrays
# are of each member.
Steer = Callable[[float, float, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# (seconds of a step, seconds of compiling it) -> seconds of an encoding after its fit
SecondsAfter = Callable[[float, float], float]


def fit(
    problems: Sequence[FitProblem],
    pyramid: Pyramid,
    settings: GridFit,
    *,
    time_budget: TimeBudget | None = None,
    store: StateStore | None = None,
    report: Report | None = None,
    steer: Steer | None = None,
    begin: tuple[FitResult, float] | None = None,
    seconds_after: SecondsAfter | None = None,
) -> list[FitResult]:
    """Fit pictures of one size, as one batch.

    Args:
      time_budget, store, report: see `fitting.loop.run`.
      steer: may change the lambdas after each block, up to STEERED_UNTIL.
      begin: of a single problem, an earlier result and the progress at which to go on from it.
      seconds_after: what of the time budget to reserve for what comes after the fit.
    Raises:
      FitError: NaN in spite of lower rates.
      UsageError: a time budget that cannot be kept, or a checkpoint of something else.
    """
    earlier, progress = (None, 0.0) if begin is None else begin
    program = GridProgram(problems, pyramid, settings, steer, earlier, seconds_after)
    begun = (0 if earlier is None else earlier.n_steps, progress)
    return loop.run(program, time_budget=time_budget, store=store, report=report, begin=begun)


class FitState(NamedTuple):
    """What changes from block to block; arrays have an axis of members unless they say so."""

    steps: State
    lambdas: np.ndarray  # f64
    mse: np.ndarray  # f64, of the last step, or with rounded latents as soon as it is measured
    bits: np.ndarray  # f64, of the latents, likewise
    rate_scale: np.ndarray  # f64[], factor on the learning rates of all members
    steered_at: np.ndarray  # f64[], progress at which the lambdas were last looked at


class GridProgram:
    """See `fitting.loop.FitProgram`."""

    rate_setting = "fit.learning_rate"
    edges: tuple[float, ...] = ()

    def __init__(
        self,
        problems: Sequence[FitProblem],
        pyramid: Pyramid,
        settings: GridFit,
        steer: Steer | None = None,
        earlier: FitResult | None = None,
        seconds_after: SecondsAfter | None = None,
    ) -> None:
        """The arguments of `fit`."""
        self.problems, self.pyramid, self.settings = problems, pyramid, settings
        self.steer, self.earlier, self.seconds_after = steer, earlier, seconds_after
        self.stepper = Stepper(pyramid, settings)
        self.n_pixels = pyramid.height * pyramid.width
        self.pool = jnp.asarray(noise_pool(max(level.size for level in pyramid.levels)))
        self.n_steps = settings.steps
        longest = max(1, _BLOCK_PIXELS // (self.n_pixels * len(problems)))
        self.block_length = min(longest, _MOST_STEPS, -(-settings.steps // _BLOCKS))
        self.soft_until = 1 - max(1, round(settings.tail * settings.steps)) / settings.steps
        trial_until = min(settings.trial, self.soft_until) if settings.n_starts > 1 else 0.0
        trial_until = trial_until if earlier is None else 0.0
        self.n_starts = settings.n_starts if trial_until > 0 else 1
        # A GPU fits all starts in the time of one. Cores take as many at once as there are
        # problems: they have enough to do, and another number would be compiled anew.
        is_one_by_one = platform() == "cpu"
        self.n_at_once = len(problems) * (1 if is_one_by_one else self.n_starts)
        self.phases: tuple[Phase, ...] = (
            Phase(trial_until, cost=self.n_starts if is_one_by_one else 1.0),
            Phase(self.soft_until),
            Phase(1.0),
        )

    def start(self, rate_scale: float) -> FitState:
        """Make the first networks of all starts, or take those of the earlier result."""
        pairs = [(problem, k) for k in range(self.n_starts) for problem in self.problems]
        keys = [fit_key(problem.seed, k) for problem, k in pairs]
        steered_at = 0.0
        if self.earlier is None:
            steps = self.stepper.start([self._first_networks(*pair) for pair in pairs], keys)
        else:
            steps, gain = self.stepper.start([self.earlier.params], keys), self.settings.gain
            latents = [jnp.asarray(y[None] / np.float32(gain)) for y in self.earlier.unrounded]
            steps, steered_at = steps._replace(latents=latents), self.earlier.steered_at
        lambdas, zeros = np.array([problem.lambda_ for problem, _ in pairs]), np.zeros(len(pairs))
        return FitState(steps, lambdas, zeros, zeros, np.array(rate_scale), np.array(steered_at))

    def _first_networks(self, problem: FitProblem, start: int) -> dict[str, np.ndarray]:
        mean, rng = problem.picture.mean((1, 2)), np.random.default_rng([problem.seed, 1, start])
        return first_networks(self.pyramid, mean, rng, spread=_SPREAD if start else 0.0)

    def estimate_costs(self, state: FitState, compile_seconds: float, step_seconds: float) -> Costs:
        """Count a step of measuring after each block; phases share a program."""
        after = self.seconds_after
        reserved = 0.0 if after is None else after(step_seconds, compile_seconds)
        return Costs([step_seconds] * 3, [0.0] * 3, reserved)

    def run_block(self, state: FitState, block: Block) -> tuple[FitState, np.ndarray]:
        """Run a block; the losses are the errors of its last step, under noise."""
        is_tail = block.phase == TAIL
        begin, end = (self.soft_until, 1.0) if is_tail else (0.0, self.soft_until)
        position = (block.progress_at(0.0) - begin) / (end - begin)
        xs = Inputs(
            active=block.active,
            is_tail=np.full(block.length, is_tail),
            position=position.astype(np.float32),
            rate=np.full(block.length, state.rate_scale, np.float32),
            step=block.steps.astype(np.uint32),
        )
        steps, metrics = self._run_steps(state, xs)
        losses, bits = (each[:, max(0, block.n_steps - 1)] for each in metrics)
        state = state._replace(mse=losses, bits=bits)  # under noise; what is measured comes after
        if block.phase == TRIAL:  # a start that fails only loses
            losses = np.where(np.isfinite(losses), losses, LOSS_OF_FAILED)
        return state._replace(steps=steps), losses

    def after_block(
        self, state: FitState, block: Block, losses: np.ndarray
    ) -> tuple[FitState, np.ndarray | None]:
        """Measure the state with rounded latents, end the trial and steer the lambdas."""
        if self.steer is None and block.phase == SOFT and block.end < _SNAPSHOTS_FROM:
            return state, None  # no candidate: a measurement would take as long as a step
        state, scores = self._measure(state)
        if block.phase == TRIAL:
            return (self._pick_best(state, scores) if block.ends_phase else state), None
        if self.steer is None:
            is_candidate = block.end >= _SNAPSHOTS_FROM
        else:
            is_candidate = block.end > STEERED_UNTIL
            state = self._steer(state, block.end)
        return state, scores if is_candidate or not np.isfinite(scores).all() else None

    def estimate_quality(self, state: FitState, losses: np.ndarray) -> tuple[float, float]:
        """Return the means over members: under noise at first, then with rounded latents."""
        psnr_db = -10 * np.log10(np.maximum(state.mse, 1e-30))
        return float(np.mean(psnr_db)), float(state.bits.mean()) / self.n_pixels

    def result(self, run: FitRun[FitState]) -> list[FitResult]:
        """Return the networks and latents of the best state of each member."""
        best = run.best_or_last.steps
        unrounded = [np.asarray(z) * np.float32(self.settings.gain) for z in best.latents]
        return [
            FitResult(
                params={name: np.asarray(best.params[name][i]) for name in self.pyramid.shapes},
                unrounded=[each[i] for each in unrounded],
                lambda_=float(run.state.lambdas[i]),
                n_steps=run.step,
                steered_at=float(run.state.steered_at),
            )
            for i in range(len(self.problems))
        ]

    def _run_steps(self, state: FitState, xs: Inputs) -> tuple[State, StepMetrics]:
        """Run the active steps of all members; the metrics are f64[members, n]."""
        made, n = [], self.n_at_once
        for i in range(0, len(state.lambdas), n):
            some = slice(i, i + n)
            problems = [self.problems[k % len(self.problems)] for k in range(n)]
            data = Data(
                picture=np.stack([problem.picture for problem in problems]),
                lambda_per_bit=(state.lambdas[some] / self.n_pixels).astype(np.float32),
            )
            steps, metrics = self.stepper.block(
                pick_members(state.steps, some), data, xs, self.pool
            )
            made.append((steps, StepMetrics(*(np.asarray(x.T, np.float64) for x in metrics))))
        return join_members(made)

    def _measure(self, state: FitState) -> tuple[FitState, np.ndarray]:
        """Measure MSE and bits with rounded latents, and return the losses too, f64[members]: one
        step that changes nothing, since another program would have to be compiled."""
        n = self.block_length
        zeros, counts = np.zeros(n, np.float32), np.zeros(n, np.uint32)
        still = Inputs(np.arange(n) < 1, np.full(n, True), zeros, zeros, counts)
        _, (mse, bits) = self._run_steps(state, still)
        state = state._replace(mse=mse[:, 0], bits=bits[:, 0])
        return state, state.mse + state.lambdas * state.bits / self.n_pixels

    def _pick_best(self, state: FitState, scores: np.ndarray) -> FitState:
        """Return the best start of each problem."""
        n = len(self.problems)
        finite = np.where(np.isfinite(scores), scores, np.inf).reshape(-1, n)  # [starts, problems]
        return pick_members(state, np.argmin(finite, axis=0) * n + np.arange(n))

    def _steer(self, state: FitState, progress: float) -> FitState:
        """Let the lambdas be changed, as long as that changes much."""
        assert self.steer is not None
        if progress == 1:
            return state
        lambdas, since = state.lambdas, abs(progress - float(state.steered_at))
        if progress <= STEERED_UNTIL:
            lambdas = self.steer(progress, since, lambdas, state.mse, state.bits)
        return state._replace(lambdas=lambdas, steered_at=np.array(progress))
