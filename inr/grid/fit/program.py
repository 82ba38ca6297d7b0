"""The fit of latent grids as the loop of fits runs it: trial of several starts, alone, soft, tail.

It begins with the latents that the analysis network predicts, corrected for what they draw, and the
networks of the prior. In the trial several first networks of each picture are fitted; the best of
them go on. Then the latents are fitted alone, under networks that stay; in the soft phase latents
and networks learn under noise, in the tail the networks learn the rounded latents. Where it
matters, error and bits are measured with rounded latents, as the file will have them, on a share of
the tiles.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from inr.fitting import loop
from inr.fitting.checkpoint import StateStore
from inr.fitting.loop import LOSS_OF_FAILED, Block, FitRun
from inr.fitting.members import pick_members, stack_members
from inr.fitting.time_budget import Costs, Phase, TimeBudget
from inr.grid.closed_loop import predict_corrected
from inr.grid.fit.analysis import predict_latents
from inr.grid.fit.init import first_networks
from inr.grid.fit.result import FitResult
from inr.grid.fit.settings import GridFit
from inr.grid.fit.step import (
    Fitting,
    Latents,
    Measured,
    Networks,
    Rounding,
    flatten,
    move_latents,
    move_networks,
    rounded,
    start_latents,
    start_networks,
    unflatten,
)
from inr.grid.prior import SCREENS, prior_networks, rate_place
from inr.grid.structure import Pyramid
from inr.options import Report

TRIAL, ALONE, SOFT, TAIL = range(4)  # phases
_BLOCK_PIXELS = 12_000_000  # steps times pixels of a block: two to five seconds on two cores
_MOST_STEPS, _BLOCKS = 50, 20  # of a block; blocks of a fit, at least
_SPREAD = 0.3  # of all starts but the first around the prior
_SNAPSHOTS_FROM = 0.9  # of the fit; before, later ones are always better
# A low lambda makes latents large, which then have further to go.
_USUAL_LAMBDA, _RATE_BY_LAMBDA = 1e-3, 0.2
_MANY_STEPS = 60  # in fewer than these, steps as large would do more harm than good
# Tiles on which the gradient of the networks is measured, in turn: steps take 0.8 of the time, and
# a fit of 60 steps ends 0.4 % worse, one of 600 at the same loss.
_HALVES = slice(0, None, 2), slice(1, None, 2)
_TAIL_RATE = 0.2  # of the networks' rate until then, where the tail's cosine begins
STEERED_UNTIL = 0.9  # of the fit: later, lambda changes little; snapshots have one lambda


@dataclass(frozen=True)
class FitProblem:
    """One picture to be fitted."""

    picture: np.ndarray  # f32[c, height, width] in 0..1
    lambda_: float  # weight of a bit per pixel against MSE
    seed: int
    rate: int = 0  # of the structure, where it has one


# (progress, progress since the last call, lambdas, MSE, bits of the latents) -> new lambdas; arrays
# are of each member.
Steer = Callable[[float, float, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# seconds of a step -> seconds of an encoding after its fit
SecondsAfter = Callable[[float], float]


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

    networks: Networks
    latents: Latents
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
        self.n_pixels = pyramid.height * pyramid.width
        self.n_steps = settings.steps
        longest = max(1, _BLOCK_PIXELS // (self.n_pixels * len(problems)))
        self.block_length = max(1, min(longest, _MOST_STEPS, -(-settings.steps // _BLOCKS)))
        n_steps = max(1, settings.steps)
        # What has no prior has to be fitted.
        self.alone = 0.0 if pyramid.has_alpha else settings.alone
        is_joint = self.alone < 1
        self.soft_until = 1 - max(1, round(settings.tail * n_steps)) / n_steps if is_joint else 1.0
        trial_until = min(settings.trial, self.soft_until) if settings.n_starts > 1 else 0.0
        trial_until = trial_until if earlier is None else 0.0
        self.n_starts = settings.n_starts if trial_until > 0 else 1
        self.phases: tuple[Phase, ...] = (
            Phase(trial_until, cost=self.n_starts),
            Phase(min(max(trial_until, round(self.alone * n_steps) / n_steps), self.soft_until)),
            Phase(self.soft_until),
            Phase(1.0),
        )
        self._cut: dict[int, Fitting] = {}  # by problem

    def start(self, rate_scale: float) -> FitState:
        """Make the first networks and latents of all starts, or take those of the earlier
        result."""
        pairs = [(problem, k) for k in range(self.n_starts) for problem in self.problems]
        steered_at = 0.0
        if self.earlier is None:
            predicted = [self._first_latents(problem) for problem in self.problems]
            networks_of_all = [self._first_networks(*pair) for pair in pairs]
            first = list(zip(networks_of_all, predicted * self.n_starts, strict=True))
        else:
            first = [(self.earlier.params, self.earlier.unrounded)]
            steered_at = self.earlier.steered_at
        members = [
            (start_networks(params, self.pyramid), start_latents(latents))
            for params, latents in first
        ]
        networks, latents = _join(members)
        lambdas, zeros = np.array([problem.lambda_ for problem, _ in pairs]), np.zeros(len(pairs))
        return FitState(
            networks, latents, lambdas, zeros, zeros, np.array(rate_scale), np.array(steered_at)
        )

    def _first_networks(self, problem: FitProblem, start: int) -> dict[str, np.ndarray]:
        mean, rng = problem.picture.mean((1, 2)), np.random.default_rng([problem.seed, 1, start])
        spread = _SPREAD if start else 0.0
        return first_networks(self.pyramid.at_rate(problem.rate), mean, rng, spread)

    def _first_latents(self, problem: FitProblem) -> list[np.ndarray]:
        pyramid = self.pyramid.at_rate(problem.rate)
        if pyramid.structure.prior == SCREENS:
            # Corrected, fits of two pages end 2 % better and 6 % worse; those of photographs
            # 1.5 to 2 % better.
            return predict_latents(problem.picture, rate_place(problem.rate), pyramid)
        return predict_corrected(problem.picture, pyramid)[0]

    def estimate_costs(self, state: FitState, compile_seconds: float, step_seconds: float) -> Costs:
        """Count a step of measuring after each block; phases share a program."""
        after = self.seconds_after
        reserved = 0.0 if after is None else after(step_seconds)
        return Costs([step_seconds] * 4, [0.0] * 4, reserved)

    def run_block(self, state: FitState, block: Block) -> tuple[FitState, np.ndarray]:
        """Run a block; the losses are the errors of its last step, under noise."""
        moved, measured = [], []
        for i in range(len(state.lambdas)):
            own = pick_members((state.networks, state.latents), i)
            fitting = self._fitting(i, float(state.lambdas[i]))
            own, last = self._run_steps(*own, fitting, state, block)
            moved.append(own)
            measured.append(last)
        networks, latents = _join(moved)
        losses = np.array([each.mse for each in measured])
        bits = np.array([each.bits for each in measured])
        # Under noise; what is measured comes after.
        state = state._replace(networks=networks, latents=latents, mse=losses, bits=bits)
        if block.phase == TRIAL:  # a start that fails only loses
            losses = np.where(np.isfinite(losses), losses, LOSS_OF_FAILED)
        return state, losses

    def _run_steps(
        self,
        networks: Networks,
        latents: Latents,
        fitting: Fitting,
        state: FitState,
        block: Block,
    ) -> tuple[tuple[Networks, Latents], Measured]:
        """Run the steps of a block for one member."""
        s, is_tail = self.settings, block.phase == TAIL
        begin, end = (self.soft_until, 1.0) if is_tail else (0.0, self.soft_until)
        places = (block.progress_at(0.0) - begin) / (end - begin)
        measured, with_networks = Measured(np.nan, np.nan), block.phase != ALONE
        lambda_ = fitting.lambda_per_bit * self.n_pixels
        finer = (_USUAL_LAMBDA / lambda_) ** _RATE_BY_LAMBDA
        finer *= min(1.0, math.sqrt(block.n_steps / (block.end - block.begin) / _MANY_STEPS))
        if block.n_steps == 0:  # only to compile
            rounding = _rounding(s, 0.0, is_tail)
            by = _HALVES[0] if with_networks else None
            fitting.gradients(networks.flat, latents.y, rounding, 0, some=slice(2), networks_by=by)
        for step, place in zip(block.steps[: block.n_steps], places, strict=False):
            rounding = _rounding(s, place, is_tail)
            half = _HALVES[int(step) % 2 if fitting.tiling.n_tiles > 1 else 0]
            grads = fitting.gradients(
                networks.flat,
                latents.y,
                rounding,
                int(step),
                some=half if is_tail else slice(None),
                networks_by=half if with_networks else None,
            )
            measured = grads.measured
            rate_scale, cosine = float(state.rate_scale), 0.5 * (1 + np.cos(np.pi * place))
            if grads.networks is not None:
                # Until the tail it stays: the networks follow the latents, whose rounding hardens,
                # and with a rate that falls before, fits end 1 to 3 % worse.
                network_rate = s.learning_rate * rate_scale
                if is_tail:
                    network_rate *= _TAIL_RATE * cosine
                elif self.earlier is not None:  # SOAP, begun anew, is restless at first
                    network_rate *= cosine
                networks = move_networks(
                    networks,
                    grads.networks,
                    fitting,
                    s.network_rate,
                    network_rate,
                    s.drawing_rate,
                )
            if not is_tail:
                rates = [
                    s.latent_rate * finer * rate_scale * cosine * 2 ** (s.latent_slope * octaves)
                    for octaves in self.pyramid.octaves
                ]
                latents = move_latents(latents, grads.latents, rates, self.pyramid)
        return (networks, latents), measured

    def _fitting(self, member: int, lambda_: float) -> Fitting:
        """Return the problem of a member at its lambda; what is cut is cut once."""
        n = member % len(self.problems)
        problem, start = self.problems[n], member // len(self.problems)
        pyramid = self.pyramid.at_rate(problem.rate)
        if n not in self._cut:
            prior = flatten(prior_networks(pyramid), pyramid)
            self._cut[n] = Fitting.of(problem.picture, pyramid, lambda_, prior)
        seed = (problem.seed, start)
        return replace(self._cut[n], lambda_per_bit=lambda_ / self.n_pixels, seed=seed)

    def after_block(
        self, state: FitState, block: Block, losses: np.ndarray
    ) -> tuple[FitState, np.ndarray | None]:
        """Measure the state with rounded latents where that matters, end the trial and steer the
        lambdas."""
        if self.steer is None and block.phase != TRIAL and block.end < _SNAPSHOTS_FROM:
            return state, None  # no candidate
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
        best = run.best_or_last
        return [
            FitResult(
                params=unflatten(np.asarray(best.networks.flat[i]), self.pyramid),
                unrounded=[y[i] for y in best.latents.y],
                lambda_=float(run.state.lambdas[i]),
                n_steps=run.step,
                steered_at=float(run.state.steered_at),
            )
            for i in range(len(self.problems))
        ]

    def _measure(self, state: FitState) -> tuple[FitState, np.ndarray]:
        """Measure MSE and bits with rounded latents, and return the losses too, f64[members]."""
        made = []
        for i in range(len(state.lambdas)):
            fitting = self._fitting(i, float(state.lambdas[i]))
            flat, y = state.networks.flat[i], [each[i] for each in state.latents.y]
            # Where each step is with networks, there is no other program.
            by = slice(None) if self.alone < 1 and fitting.tiling.n_tiles == 1 else None
            grads = fitting.gradients(
                flat, y, rounded(), 0, some=fitting.tiling.sample, networks_by=by
            )
            made.append(grads.measured)
        mse, bits = (np.array(each) for each in zip(*made, strict=True))
        state = state._replace(mse=mse, bits=bits)
        return state, mse + state.lambdas * bits / self.n_pixels

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


def _rounding(s: GridFit, place: float, is_hard: bool) -> Rounding:
    """Return how latents are seen at a place 0..1 of the fit before its tail."""
    temperature = s.temperature + (s.final_temperature - s.temperature) * place
    noise = s.noise + (s.final_noise - s.noise) * place
    return Rounding(np.float32(temperature), np.float32(noise), np.bool_(is_hard))


def _join(members: list[tuple[Networks, Latents]]) -> tuple[Networks, Latents]:
    """Put members together; counts of steps are common to all."""
    networks, latents = stack_members(members)
    of_first = members[0]
    networks = networks._replace(soap=networks.soap._replace(step=of_first[0].soap.step))
    return networks, latents._replace(n_steps=of_first[1].n_steps)
