"""The fit of networks as the loop of fits runs it: trial of several starts, noise, rounding.

In the trial several first weights of one picture are fitted; the best of them go on. Under noise
weights and steps are learned while masks change. When rounding begins the quantizer's qparams are
fixed, and corrected by the size of the real file in the first two thirds of it; then the best
snapshot is kept, and its codes are the result.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from inr.errors import FitError
from inr.fitting import loop
from inr.fitting.checkpoint import StateStore
from inr.fitting.jax_settings import platform
from inr.fitting.loop import LOSS_OF_FAILED, Block, FitRun
from inr.fitting.members import choose_members, pick_members, stack_members
from inr.fitting.random_keys import fit_key
from inr.fitting.time_budget import ROUNDING_COMPILE_SHARE, Costs, Phase, TimeBudget
from inr.mlp.fields.protocol import n_weights
from inr.mlp.fit.data import batch_pixels, block_steps, shuffle, slices_of
from inr.mlp.fit.perturb import Held, Keep, Noise, Perturbation, PricedNoise, Rounding
from inr.mlp.fit.problem import AllQParams, Codes, FitProblem, FitResult
from inr.mlp.fit.rate import RateTerm, coder_curves
from inr.mlp.fit.settings import FitSettings
from inr.mlp.fit.step import Inputs, OwnInputs, State, Stepper
from inr.mlp.quantize.ste import solve_steps
from inr.mlp.quantize.uniform import MAX_STEP
from inr.mlp.quantize_weights import WeightQuantizer
from inr.mlp.sparsify.masks import keep_counts, n_kept_weights
from inr.options import Report

TRIAL, NOISE, ROUNDING = range(3)  # phases
_SCHEDULE_TICKS = 1_000_000  # resolution of the schedule
_EARLY_BITS = 2.0  # a weight, above the budget at the start, none from the middle of the fit
_DIVERGED = 4.0  # times the lowest error, 6 dB
_FORGETTING = 1.15  # a block: as the budget tightens, errors may rise, but not at once
_TOO_LARGE = 1.0  # added to the error of a snapshot whose file is too large; errors are below 1
# Of a time budget: codings of the whole file in a block that rounds, and after the last one.
_CODINGS_A_BLOCK, _CODINGS_AT_THE_END = 3, 4


def fit(
    problem: FitProblem,
    settings: FitSettings,
    *,
    time_budget: TimeBudget | None = None,
    store: StateStore | None = None,
    report: Report | None = None,
) -> FitResult:
    """Fit the weights of fields to a picture, down to the integer codes that a file holds.

    Args:
      time_budget, store, report: see `fitting.loop.run`.
    Raises:
      FitError: NaN in spite of lower rates, or codes that do not fit the budget.
      UsageError: a time budget that cannot be kept, or a checkpoint of something else.
    """
    program = MlpProgram([problem], settings)
    return loop.run(program, time_budget=time_budget, store=store, report=report)[0]


def fit_batch(
    problems: Sequence[FitProblem], settings: FitSettings, *, report: Report | None = None
) -> list[FitResult]:
    """Fit several like problems at once (see `MlpProgram`); one by one if one of them fails.

    Sums run in another order than in `fit`, so the codes differ from its codes in the last bits.
    """
    if len(problems) > 1:
        try:
            return loop.run(MlpProgram(problems, settings), report=report, max_retries=0)
        except FitError:
            pass  # of a single one; which, and whether a lower rate helps, `fit` finds out
    return [fit(problem, settings, report=report) for problem in problems]


class FitState(NamedTuple):
    """What changes from block to block; all arrays have an axis of members."""

    steps: State
    good: State  # to which a member goes back that diverges
    qparams: AllQParams  # f32, of the rounding; before it only their shapes mean something
    kept_share: np.ndarray  # f64, weights kept now, as a multiple of those kept in the end
    rate_scale: np.ndarray  # f64, factor on the rates, halved each time a member diverges
    lowest_error: np.ndarray  # f64, of the blocks so far, forgotten slowly; inf: there is no `good`


class MlpProgram:
    """See `fitting.loop.FitProgram`.

    The problems have the same fields, sizes of signals, kinds of quantizer and of sparsifier; they
    may differ in pictures, seeds, budgets and sparsity.
    """

    rate_setting = "fit.optimizer.learning_rate"

    def __init__(self, problems: Sequence[FitProblem], settings: FitSettings) -> None:
        self.problems, self.settings, first = problems, settings, problems[0]
        field_set, signals, self.quantizer = first.field_set, first.signals, first.quantizer
        slices, n_slices = slices_of(batch_pixels(settings, field_set, signals))
        self.batch = tuple(n * n_slices for n in slices)
        self.sizes = [signal.height * signal.width for signal in signals]
        # Of quantizer and sparsifier only what all problems share stands in the step: sparsity
        # reaches it as counts, bits as budget and qparams. Fits that differ in them share a
        # compilation.
        self.stepper = Stepper(
            field_set,
            settings.optimizer,
            self.quantizer.for_training(),
            first.sparsifier.for_training().masks,
            signals[-1].has_alpha,
            slices,
            n_slices,
        )
        self.data = stack_members(
            [
                tuple(shuffle(s, n, p.seed) for s, n in zip(p.signals, self.batch, strict=True))
                for p in problems
            ]
        )
        self.shapes, self.trained_shapes = field_set.shapes(), field_set.trained_shapes()
        counts = [keep_counts(p.sparsifier, field_set.matrices()) for p in problems]
        self.keep_counts = stack_members([{k: np.int32(n) for k, n in c.items()} for c in counts])
        self.weight_quantizers = [
            WeightQuantizer(p, n) for p, n in zip(problems, counts, strict=True)
        ]
        self._plan()

    def _plan(self) -> None:
        """Lay out the schedule: phases, what each of them perturbs, and when masks change."""
        settings, steps = self.settings, self.settings.steps
        self.n_steps = steps
        n_last = max(1, round(settings.rounding * steps))
        self.rounding_from = 1 - n_last / max(1, steps)
        trial_until = min(settings.seed_trial, self.rounding_from) if settings.n_seeds > 1 else 0.0
        assert trial_until == 0 or len(self.problems) == 1, "a batch has no trial"
        self.n_starts = settings.n_seeds if trial_until > 0 else 1
        self.phases: tuple[Phase, ...] = (
            Phase(trial_until, cost=self.n_starts if platform() == "cpu" else 1.0),
            Phase(self.rounding_from),
            Phase(1.0),
        )
        plain: Perturbation = Noise() if self.quantizer.LEARNS_STEPS else Keep()
        noise = PricedNoise() if settings.has_rate_term else plain
        self.perturbations = plain, noise, Rounding(self.stepper.quantizer)
        self.block_length = block_steps(n_weights(self.shapes), sum(self.batch), n_last)
        self.edges: tuple[float, ...] = ()
        rule = self.problems[0].sparsifier.masks
        if rule is not None and self.keep_counts:
            stop = min(rule.stop, self.rounding_from)
            n = min(rule.n_updates, max(1, int(stop * steps)))
            edges = [stop * (i + 1) / n for i in range(n)]
            longest = max(1, int(np.diff([0.0, *edges]).max() * steps))
            self.block_length = min(self.block_length, longest)
            self.edges = tuple(edge for edge in edges if edge > trial_until)

    def start(self, rate_scale: float) -> FitState:
        """Make the first weights of all starts."""
        states = []
        for problem in self.problems:
            rng = np.random.default_rng([problem.seed, 1])
            for k in range(self.n_starts):
                key = fit_key(problem.seed, k)
                states.append(self.stepper.start(rng, problem.sparsifier.masks, key))
        steps, n = stack_members(states), len(states)
        shapes = self.trained_shapes.items()
        qparams = {name: self.quantizer.fit_qparams(np.zeros(s, np.float32)) for name, s in shapes}
        state = FitState(
            steps=steps,
            good=steps,
            qparams={name: np.stack([each] * n) for name, each in qparams.items()},
            kept_share=np.ones(n),
            rate_scale=np.full(n, rate_scale),
            lowest_error=np.full(n, np.inf),
        )
        if self.n_starts == 1:
            state = self._begin_noise(state, 0.0)
        return state if self.rounding_from > 0 else self._begin_rounding(state)[0]

    def estimate_costs(self, state: FitState, compile_seconds: float, step_seconds: float) -> Costs:
        """Measure what `Costs` are: files are coded and measured while weights are rounded."""
        code_seconds = 0.0
        for _ in range(2):  # the first time it loads the coder
            coding_at = time.monotonic()
            for i, weight_quantizer in enumerate(self.weight_quantizers):
                params, masks, _ = self._on_host(state, i)
                qparams = weight_quantizer.choose_qparams(params, self._learned_steps(state, i))
                weight_quantizer.count_bytes(params, masks, qparams)
            code_seconds = time.monotonic() - coding_at
        validation = self.stepper.n_validation_pixels(self.data) / (3 * sum(self.batch))
        last = _CODINGS_A_BLOCK * code_seconds + validation * step_seconds
        compiling = [0.0, compile_seconds, ROUNDING_COMPILE_SHARE * compile_seconds]
        if self.n_starts == 1:
            # Compiled now: how long it would take later nobody knows, where a cache on disk may
            # hold one of the programs and not the other.
            self.run_block(state, Block(ROUNDING, 0, 0, self.block_length, 0.0, 0.0, False))
            self.stepper.validate(state.steps, self.data, state.qparams)
            compiling = [0.0, 0.0, 0.0]
        return Costs(
            a_block=[0.0, 0.0, last],
            compiling=compiling,
            reserved=_CODINGS_AT_THE_END * code_seconds,
        )

    def run_block(self, state: FitState, block: Block) -> tuple[FitState, np.ndarray]:
        """Run a block; the losses are the mean errors of its second half, of a trial of all."""
        is_trial, n = block.phase == TRIAL, block.n_steps
        starts = [block.steps * k % size for k, size in zip(self.batch, self.sizes, strict=True)]
        xs = Inputs(
            active=block.active,
            start=np.stack(starts, axis=1).astype(np.int32),
            step=(block.steps % (1 << 32)).astype(np.uint32),
        )
        data, own, held = self.data, self.schedule(state, block), self._held(state, block)
        if is_trial:  # the starts of one fit share all but the state
            data, own = pick_members((data, own), 0)
        steps, errors = self.stepper.run_block(
            self.perturbations[block.phase], is_trial, state.steps, data, xs, own, held
        )
        state, each = state._replace(steps=steps), np.asarray(errors)[:, :n]
        if n == 0:
            return state, np.zeros(len(each))
        is_well = np.isfinite(each).all(axis=1)
        if is_trial:  # a start that fails only loses
            return state, np.where(is_well, each.mean(axis=1), LOSS_OF_FAILED)
        late = each[:, n // 2 :].mean(axis=1, dtype=np.float64)
        return state, np.where(is_well, late, np.nan)

    def after_block(
        self, state: FitState, block: Block, losses: np.ndarray
    ) -> tuple[FitState, np.ndarray | None]:
        """End the trial, take members back, change masks; fix qparams and validate."""
        if block.phase == ROUNDING:
            return self._validate(state, block)
        if block.phase == NOISE:
            state = self._settle(state, block, losses)
        elif block.ends_phase:
            best = pick_members(state, np.array([np.argmin(losses)]))
            state = self._begin_noise(best, block.end)
        return self._begin_rounding(state) if block.end == self.rounding_from else (state, None)

    def estimate_quality(self, state: FitState, losses: np.ndarray) -> tuple[float, None]:
        """Return the mean over the block's batches with perturbed weights: a little pessimistic."""
        return float(-10 * np.log10(max(losses.mean(), 1e-30))), None

    def result(self, run: FitRun[FitState]) -> list[FitResult]:
        """Return the codes of the best snapshots; qparams change only if a file missed its target.

        Raises:
          FitError: codes that do not fit the budget.
        """
        best, found = run.best_or_last, []
        for i, weight_quantizer in enumerate(self.weight_quantizers):
            params, masks, qparams = self._on_host(best, i)
            found.append(weight_quantizer.meet_target(params, masks, qparams, run.step))
        return found

    def _begin_noise(self, state: FitState, progress: float) -> FitState:
        """Count the weights, and find the first steps where there is a rate term: those at which
        a Gaussian's codes meet the early budget."""
        state = self._count_kept(state)
        if not self.settings.has_rate_term:
            return state
        found = []
        for i in range(len(self.problems)):
            one = pick_members(state.steps, i)
            early_bits = float(self._allowed_bits(state, i, np.array(progress)))
            trained = self.stepper.trained(one.params)
            q_steps = solve_steps(trained, one.log2_steps, early_bits, one.masks)
            found.append({name: jnp.log2(q_step) for name, q_step in q_steps.items()})
        return state._replace(steps=state.steps._replace(log2_steps=stack_members(found)))

    def _settle(self, state: FitState, block: Block, losses: np.ndarray) -> FitState:
        """Take members back that diverged, and change the masks when it is time."""
        is_edge = block.end in self.edges
        # Right after weights were moved errors are high: only the end of each interval counts.
        counts = is_edge or not self.edges or block.begin >= self.edges[-1]
        if counts and block.end > self.settings.warmup:
            state = roll_back_diverged(state, losses)
            state = self._count_kept(state)  # the masks went back too
        if is_edge:
            before = state.kept_share
            state = self._update_masks(state, block.first_step + block.n_steps, block.end)
            # With fewer weights errors may rise; and the last masks are not to be taken back.
            forgets = (state.kept_share != before) | (block.end == self.edges[-1])
            state = state._replace(lowest_error=np.where(forgets, np.inf, state.lowest_error))
        return state

    def _update_masks(self, state: FitState, step: int, progress: float) -> FitState:
        steps = self.stepper.update_masks(
            state.steps, self.keep_counts, jnp.float32(progress), jnp.uint32(step % (1 << 32))
        )
        return self._count_kept(state._replace(steps=steps))

    def _count_kept(self, state: FitState) -> FitState:
        """Count weights that are pruned on the way and many at first: the budget has to know."""
        shares = []
        for i, weight_quantizer in enumerate(self.weight_quantizers):
            counts = {name: int(mask.sum()) for name, mask in self._on_host(state, i)[1].items()}
            shares.append(n_kept_weights(self.trained_shapes, counts) / weight_quantizer.n_kept)
        return state._replace(kept_share=np.array(shares))

    def _begin_rounding(self, state: FitState) -> tuple[FitState, np.ndarray | None]:
        """Fix the qparams; the scores are no numbers where no file can hold weights or steps, of
        a fit that has run away."""
        if self.keep_counts and not self.edges:  # there was no time for masks to change
            state = self._update_masks(state, step=0, progress=1.0)
        qparams = []
        for i, weight_quantizer in enumerate(self.weight_quantizers):
            (params, masks, _), q_steps = self._on_host(state, i), self._learned_steps(state, i)
            sizes = [*q_steps.values(), *(np.abs(w).max() for w in params.values())]
            if not all(size <= MAX_STEP for size in sizes):  # also for NaN
                return state, np.full(len(self.problems), np.nan)
            first = weight_quantizer.choose_qparams(params, q_steps)
            qparams.append(weight_quantizer.correct_qparams(params, masks, first))
        return state._replace(qparams=stack_members(qparams)), None

    def _validate(self, state: FitState, block: Block) -> tuple[FitState, np.ndarray | None]:
        """Score the weights as they will be rounded.

        In the first two thirds of the rounding there are no scores but those that are no numbers;
        qparams are corrected there, so that the real file meets its target.
        """
        errors = np.asarray(
            self.stepper.validate(state.steps, self.data, state.qparams), np.float64
        )
        if not np.isfinite(errors).all():  # the last step of a block shows only here
            return state, errors
        is_last_third = block.end > 1 - (1 - self.rounding_from) / 3
        qparams, scores = [], []
        for i, weight_quantizer in enumerate(self.weight_quantizers):
            params, masks, own = self._on_host(state, i)
            if is_last_third:  # to change qparams in the end would cost more than a block
                scores.append(
                    errors[i]
                    + (0 if weight_quantizer.is_small_enough(params, masks, own) else _TOO_LARGE)
                )
                continue
            if not self.quantizer.LEARNS_STEPS:
                own = weight_quantizer.choose_qparams(params, {})
            qparams.append(weight_quantizer.correct_qparams(params, masks, own))
        if is_last_third:
            return state, np.array(scores)
        return state._replace(qparams=stack_members(qparams)), None

    def _learned_steps(self, state: FitState, i: int) -> dict[str, float]:
        """Return the steps of a member's tensors, at the budget unless a rate term chose them."""
        one = pick_members(state.steps, i)
        if self.settings.has_rate_term:
            # Beyond 1000, which no file can hold, Python raises OverflowError.
            return {name: 2.0 ** min(float(x), 1000.0) for name, x in one.log2_steps.items()}
        trained, budget_bits = self.stepper.trained(one.params), self.problems[i].budget.bits
        found = solve_steps(trained, one.log2_steps, budget_bits, one.masks)
        return {name: float(q_step) for name, q_step in found.items()}

    def schedule(self, state: FitState, block: Block) -> OwnInputs:
        """Lay down the rates and budgets of the steps of a block."""
        settings, fraction = self.settings, block.progress_at(0.5)
        warmup_ticks = min(int(settings.warmup * _SCHEDULE_TICKS), _SCHEDULE_TICKS - 1)
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, 1.0, warmup_ticks, _SCHEDULE_TICKS, settings.final_rate
        )
        ticks = jnp.asarray(np.minimum(fraction, 1) * _SCHEDULE_TICKS, jnp.float32)
        rate = np.asarray(schedule(ticks))
        bits = [self._allowed_bits(state, i, fraction) for i in range(len(self.problems))]
        scales = state.rate_scale[: len(self.problems), None].astype(np.float32)
        return OwnInputs(rate=scales * rate, budget_bits=np.array(bits, np.float32))

    def _allowed_bits(self, state: FitState, i: int, progress: np.ndarray) -> np.ndarray:
        """What the codes of a member may cost: more than the budget before the middle of the fit,
        and as much a weight while there are still more of them."""
        extra_bits = _EARLY_BITS * np.maximum(0, 1 - 2 * progress)
        allowed = self.problems[i].budget.bits + self.weight_quantizers[i].n_kept * extra_bits
        return np.asarray(allowed * state.kept_share[i])

    def _held(self, state: FitState, block: Block) -> Held:
        """What the next block has to know of the qparams, or of the rate."""
        if block.phase == ROUNDING:
            return Held(qparams=state.qparams)
        if self.perturbations[block.phase] != PricedNoise():
            return Held()
        terms = []
        for i, problem in enumerate(self.problems):
            log2_steps, budget = state.steps.log2_steps, problem.budget
            q_steps = {name: 2.0 ** float(x[i]) for name, x in log2_steps.items()}
            curves = coder_curves(
                self.weight_quantizers[i].quantize_with_steps(self._on_host(state, i)[0], q_steps)
            )
            weight = self.settings.weight_of_bpp(has_target=budget.max_bytes is not None)
            per_bit = None if weight is None else np.float32(weight / budget.n_pixels)
            terms.append(RateTerm(curves, per_bit))
        return Held(rate=stack_members(terms))

    def _on_host(self, state: FitState, i: int) -> tuple[Codes, Codes, AllQParams]:
        """Return the weights, masks and qparams of a member, without the axis."""
        # In file order: jax hands dicts back sorted by name.
        params = {name: np.asarray(state.steps.params[name])[i] for name in self.shapes}
        masks = {name: np.asarray(mask)[i] for name, mask in state.steps.masks.items()}
        return params, masks, {name: state.qparams[name][i] for name in self.trained_shapes}


def roll_back_diverged(state: FitState, errors: np.ndarray) -> FitState:
    """Take members that diverged back to where they were well, and on at half the rate.

    Muon's updates have the same size however small the gradient is; where noise rules, at a few
    pixels a step or next to no error, weights can grow until the field is chaotic.

    Args:
      errors: f64[members], of the block just run.
    """
    lowest = state.lowest_error  # where it is inf, no error is above it
    has_diverged = errors > _DIVERGED * lowest
    is_good = errors <= _FORGETTING * lowest
    remembered = np.where(has_diverged, lowest, _FORGETTING * lowest)
    return state._replace(
        steps=choose_members(has_diverged, state.good, state.steps),
        good=choose_members(is_good, state.steps, state.good),
        rate_scale=np.where(has_diverged, state.rate_scale / 2, state.rate_scale),
        lowest_error=np.where(is_good, errors, remembered),
    )
