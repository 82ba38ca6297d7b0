"""The loop that all fits share: phases of blocks of steps over members.

A member is one fit of a batch, or one of several starts; all arrays of a state have an axis of
members, also for one (members.py). A block is a fixed number of jitted steps, some of which may be
skipped. A phase is a part of the schedule in which all blocks run one program; a trial of several
starts is the first of them.

This module says when something is done: blocks end at the edges of phases, a time budget shortens
the schedule, a loss that is no number starts the fit again at half the rate, the best state of
each member is kept, all of it is saved every few seconds. What is done is a program's matter
(`FitProgram`; mlp/fit/program.py and grid/fit/program.py are the two).

A checkpoint is `FitRun` itself: its numbers, and the leaves of its states as arrays of one npz.
flax.serialization would do no more: the bytes it writes have no check sum, as the members of a zip
archive have, it restores arrays of any shape, and it would be loaded for each fit.
"""

import ctypes
import functools
import math
import time
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import FitError, UsageError
from inr.fitting.checkpoint import State as Stored
from inr.fitting.checkpoint import StateStore
from inr.fitting.members import choose_members
from inr.fitting.time_budget import Costs, Pace, Phase, TimeBudget
from inr.options import Progress, Report

LOSS_OF_FAILED = np.finfo(np.float64).max  # of a start of a trial whose loss is no number
_MAX_RETRIES = 3  # after a NaN, each at half the rate
_REST_OF_COMPILING = 0.2  # of what a phase compiles: what its first block calls besides its steps

State = TypeVar("State")
ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True)
class Block:
    """Some steps of one phase."""

    phase: int
    first_step: int  # its number in the fit
    n_steps: int  # to be done, of `length`
    length: int
    begin: float  # progress 0..1 of the fit before these steps
    end: float  # and after them
    ends_phase: bool

    @property
    def active(self) -> np.ndarray:
        """bool[length]: the others are skipped, since a short block would be compiled anew."""
        return np.arange(self.length) < self.n_steps

    @property
    def steps(self) -> np.ndarray:
        """i64[length]: the numbers of all steps."""
        return self.first_step + np.arange(self.length)

    def progress_at(self, share: float) -> np.ndarray:
        """f64[length]: progress of the fit after a share 0..1 of each step."""
        places = (np.arange(self.length) + share) / max(1, self.n_steps)
        return self.begin + (self.end - self.begin) * places


@dataclass(frozen=True)
class FitRun(Generic[State]):
    """How far a fit has come: all that changes from block to block."""

    state: State
    best: State | None = None  # the state of each member that had the least score
    best_scores: np.ndarray | None = None  # f64[members]
    step: int = 0
    progress: float = 0.0  # 0..1: how far the schedule has come
    attempt: int = 0  # retries so far

    @property
    def best_or_last(self) -> State:
        """The best state; the last one where none has a score, as in a fit of no steps."""
        return self.state if self.best is None else self.best

    def after(self, block: Block, state: State, scores: np.ndarray | None) -> "FitRun[State]":
        """Return the run after a block, the better states kept if there are scores."""
        step, progress = self.step + block.n_steps, block.end
        ended = replace(self, state=state, step=step, progress=progress)
        if scores is None:
            return ended
        if self.best is None or self.best_scores is None:
            return replace(ended, best=state, best_scores=scores)
        best = choose_members(scores < self.best_scores, state, self.best)
        return replace(ended, best=best, best_scores=np.minimum(scores, self.best_scores))


class FitProgram(Protocol[State, ResultT_co]):
    """What is fitted, and how; all arrays have an axis of members."""

    n_steps: int  # of the whole schedule, where time does not matter; may be 0
    block_length: int  # steps of a block, at most
    phases: tuple[Phase, ...]  # the last one ends at 1
    edges: tuple[float, ...]  # progress, besides the ends of phases, at which a block has to end
    rate_setting: str  # name of what is too high where losses are no numbers

    def start(self, rate_scale: float) -> State:
        """Make the first state; rate_scale: factor on all learning rates."""

    def estimate_costs(self, state: State, compile_seconds: float, step_seconds: float) -> Costs:
        """Estimate what a fit takes besides its steps, for time budgets; those are measured."""

    def run_block(self, state: State, block: Block) -> tuple[State, np.ndarray]:
        """Run the steps of a block, and leave the given state as it is: it may be run again.

        Returns:
          The new state, and the loss of each member, f64[members]. One that is no finite number
          starts the fit again.
        """

    def after_block(
        self, state: State, block: Block, losses: np.ndarray
    ) -> tuple[State, np.ndarray | None]:
        """Does what is to be done between blocks: masks, levels, lambdas, members that diverged.

        Returns:
          The new state, and a score of each member as it would be written, f64[members], the less
          the better; not a number: as for a loss. None: the state is no candidate for the result.
          From the first scores on they have to be comparable.
        """

    def estimate_quality(self, state: State, losses: np.ndarray) -> tuple[float, float | None]:
        """Return the PSNR in dB and, where the fit decides them, the bits per pixel so far."""

    def result(self, run: FitRun[State]) -> ResultT_co:
        """Make of the best state what the fit ends in."""


def run(
    program: FitProgram[State, ResultT_co],
    *,
    time_budget: TimeBudget | None = None,
    store: StateStore | None = None,
    report: Report | None = None,
    begin: tuple[int, float] = (0, 0.0),
    max_retries: int = _MAX_RETRIES,
) -> ResultT_co:
    """Run a program from its start, or from where a killed run was, to its end.

    Args:
      time_budget: the schedule is shortened to keep it.
      store: where to save the state every few seconds, and where to go on from, in whichever try
        it was.
      report: called after each block.
      begin: steps and progress with which the fit counts as begun.
    Raises:
      FitError: a loss is no number in spite of lower rates.
      TooShort: the time budget has no place for a fit.
      UsageError: the checkpoint is of something else.
    """
    stored = None if store is None else store.load()
    fit = _first_run(program, begin, attempt=0)
    if stored is not None:
        fit = _restore(stored, fit)
    pace = Pace(program.n_steps, program.phases, program.block_length, time_budget, program.edges)
    compiled: set[int] = set()

    def compile_phase(block: Block) -> float:
        """Run an idle block, so that no other takes longer than its steps."""
        started_at = time.monotonic()
        if block.phase not in compiled:
            program.run_block(fit.state, replace(block, n_steps=0))
            give_back()
            compiled.add(block.phase)
            pace.costs.compiling[block.phase] *= _REST_OF_COMPILING
        return time.monotonic() - started_at

    if time_budget is not None and fit.progress < 1:
        block = _next_block(fit, pace)
        compile_seconds = compile_phase(block)
        started_at = time.monotonic()
        program.run_block(fit.state, replace(block, n_steps=1))
        pace.step_seconds = (time.monotonic() - started_at) / pace.phases[block.phase].cost
        pace.costs = program.estimate_costs(fit.state, compile_seconds, pace.step_seconds)
        pace.costs.compiling[block.phase] *= _REST_OF_COMPILING
        pace.require("a short fit, coding and drawing")
    while fit.progress < 1:
        block = _next_block(fit, pace)
        compile_phase(block)
        started_at = time.monotonic()
        state, losses = program.run_block(fit.state, block)
        block_seconds, scores = time.monotonic() - started_at, None
        if np.isfinite(losses).all():
            state, scores = program.after_block(state, block, losses)
        if not np.isfinite(losses if scores is None else losses + scores).all():
            if fit.attempt == max_retries:
                raise FitError(
                    f"the loss stopped being a number at step {fit.step}, also at "
                    f"1/{2**max_retries} of the learning rate; give a lower {program.rate_setting}"
                )
            fit = _first_run(program, begin, fit.attempt + 1)
            if store is not None:  # a kill must not bring the last try back
                store.save(*_to_stored(fit))
            continue
        fit = fit.after(block, state, scores)
        if report is not None:
            report(_progress_of(program, fit, losses, pace))
        if store is not None:
            store.save_when_due(functools.partial(_to_stored, fit))
        overhead = time.monotonic() - started_at - block_seconds
        pace.learn(block.phase, block.n_steps, block_seconds, overhead)
    return program.result(fit)


def _first_run(
    program: FitProgram[State, ResultT_co], begin: tuple[int, float], attempt: int
) -> FitRun[State]:
    step, progress = begin if program.n_steps else (0, 1.0)
    return FitRun(program.start(0.5**attempt), step=step, progress=progress, attempt=attempt)


def _next_block(fit: FitRun[State], pace: Pace) -> Block:
    """Return the block that comes next, which ends at the next edge at the latest."""
    i, phase = next((i, p) for i, p in enumerate(pace.phases) if fit.progress < p.until)
    edge = min([phase.until, *(edge for edge in pace.edges if edge > fit.progress)])
    a_step = pace.progress_a_step(fit.progress)
    # Edges are rounded to steps counted from the start, each the same way: if every stretch between
    # two of them were rounded by itself, many short ones would add up to other than all steps.
    n_to_edge = max(1, _nearest_step(edge / a_step) - _nearest_step(fit.progress / a_step))
    n = min(pace.block_length, n_to_edge)
    end = edge if n == n_to_edge else fit.progress + n * ((edge - fit.progress) / n_to_edge)
    return Block(i, fit.step, n, pace.block_length, fit.progress, end, end == phase.until)


def _nearest_step(steps: float) -> int:
    return math.floor(steps + 0.5 + 1e-6)  # halves go up, also those a rounding error below


def _progress_of(
    program: FitProgram[State, ResultT_co], fit: FitRun[State], losses: np.ndarray, pace: Pace
) -> Progress:
    seconds_left = pace.seconds_for(pace.n_steps, fit.progress)
    if pace.time_budget is not None:
        seconds_left = min(seconds_left, max(0.0, pace.time_budget.left()))
    n_steps = fit.step + round((1 - fit.progress) * pace.n_steps)
    psnr_db, bpp = program.estimate_quality(fit.state, losses)
    return Progress(fit.step, n_steps, psnr_db, seconds_left, bpp)


_NUMBERS = ("step", "progress", "attempt")


def _to_stored(fit: FitRun[Any]) -> Stored:
    """Return the numbers and arrays of a run, as a checkpoint holds them."""
    numbers = {name: vars(fit)[name] for name in _NUMBERS} | {"has_best": fit.best is not None}
    leaves = jax.tree.leaves((fit.state, fit.best, fit.best_scores))
    return numbers, [np.asarray(leaf) for leaf in leaves]


def _restore(stored: Stored, like: FitRun[State]) -> FitRun[State]:
    """Return what `_to_stored` was given; like: a run of the same program.

    Raises:
      UsageError: the arrays are those of another program.
    """
    numbers, arrays = stored
    best = (like.state, np.zeros(1)) if numbers["has_best"] else (None, None)
    leaves, tree = jax.tree.flatten((like.state, *best))
    kinds = [[(x.shape[1:], x.dtype) for x in each] for each in (leaves, arrays)]
    if kinds[0] != kinds[1]:  # but for the number of members, which a trial of restarts changes
        raise UsageError("the checkpoint has other tensors; delete it to start again")
    restored = [
        jnp.asarray(array) if isinstance(leaf, jax.Array) else array
        for leaf, array in zip(leaves, arrays, strict=True)
    ]
    state, best_state, scores = jax.tree.unflatten(tree, restored)
    return FitRun(state, best_state, scores, **{name: numbers[name] for name in _NUMBERS})


def give_back() -> None:
    """Give freed memory back to the system, where the C library is one that can: compiling leaves
    more than half a gigabyte that is free but would stay with the process."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return
