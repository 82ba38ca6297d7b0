"""Time budgets: when an encoding has to end, and how fast its fit has to go for that.

A budget counts everything: compiling, the fit, coding, drawing the file and checking it. What comes
after the fit is measured on a part before the fit begins, and reserved. A budget that cannot be
kept is refused before the fit, with what it would take.
"""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Self

from inr.errors import UsageError
from inr.options import EncodeOptions

_AIM = 0.97  # of the budget: what is aimed at, since the speed of machines varies
LEAST_STEPS = 30  # a fit with fewer is not worth its file
ROUNDING_COMPILE_SHARE = 1.5  # of kind mlp: what rounding compiles, against the first program


class TooShort(UsageError):
    """A time budget that cannot be kept."""


@dataclass(frozen=True)
class TimeBudget:
    """Seconds that an encoding may take."""

    seconds: float
    started_at: float = field(default_factory=time.monotonic)
    reserved: float = 0.0  # seconds at the end that are not for what is at hand

    @property
    def ends_at(self) -> float:
        """When the work at hand has to be done, in seconds of time.monotonic()."""
        return self.started_at + _AIM * self.seconds - self.reserved

    def left(self) -> float:
        """Seconds for the work at hand; negative when they are over."""
        return self.ends_at - time.monotonic()

    def reserving(self, seconds: float) -> Self:
        """Return the budget of what comes before further work of so many seconds."""
        return replace(self, reserved=self.reserved + seconds)

    def require(self, seconds: float, what: str) -> None:
        """Refuse a budget in which the work at hand does not fit.

        Args:
          seconds: that the work takes at least.
          what: names it.
        Raises:
          TooShort: with what the whole encoding would take.
        """
        if seconds <= self.left():
            return
        whole = (time.monotonic() - self.started_at + seconds + self.reserved) / _AIM
        raise TooShort(
            f"a time budget of {self.seconds:g} s is too short: with {what}, it would take about "
            f"{math.ceil(whole)} s in all; give as much, a smaller picture or a smaller network"
        )


def budget_of(options: EncodeOptions) -> TimeBudget | None:
    """Return the time budget of an encoding, if it has one."""
    if options.time_budget is None:
        return None
    now = time.monotonic()
    return TimeBudget(
        options.time_budget, now if options.started_at is None else options.started_at
    )


@dataclass(frozen=True)
class Phase:
    """A part of a fit's schedule in which all blocks run one program."""

    until: float  # progress 0..1 of the fit at which it ends
    cost: float = 1.0  # of a step, in steps of the last phase


@dataclass
class Costs:
    """Seconds of a fit besides its steps, about."""

    a_block: list[float]  # of each phase
    compiling: list[float]  # of each phase, as long as it is to be done
    reserved: float = 0.0  # after the last block


@dataclass
class Pace:
    """How much of its schedule a fit passes in one step."""

    n_steps: int  # of the whole schedule, where time does not matter
    phases: tuple[Phase, ...]
    block_length: int  # steps
    time_budget: TimeBudget | None
    edges: tuple[float, ...] = ()  # progress at which a block has to end
    costs: Costs = field(default_factory=lambda: Costs([], []))  # of no seconds, if not given
    step_seconds: float = 0.0  # in the last phase; 0: not known yet

    def __post_init__(self) -> None:
        if not self.costs.a_block:
            self.costs.a_block = [0.0] * len(self.phases)
            self.costs.compiling = [0.0] * len(self.phases)

    def learn(self, phase: int, n_steps: int, block_seconds: float, overhead: float) -> None:
        """Take note of what a block of n_steps has taken, and what came besides it."""
        self.step_seconds = block_seconds / n_steps / self.phases[phase].cost
        if self.costs.compiling[phase] == 0:  # a first block, which compiles, is no measure
            self.costs.a_block[phase] = overhead
        self.costs.compiling[phase] = 0.0

    def seconds_for(self, n_steps: float, progress: float) -> float:
        """Estimate the seconds of the rest of a fit whose whole schedule takes n_steps."""
        costs, begin = self.costs, 0.0
        seconds = costs.reserved
        each = zip(self.phases, costs.a_block, costs.compiling, strict=True)
        for phase, overhead, compiling in each:
            begin, end = max(begin, progress), phase.until
            if end > begin:
                n = (end - begin) * n_steps
                n_edges = sum(begin < edge <= end for edge in self.edges)
                n_blocks = max(1, n_edges, n / self.block_length)
                seconds += n * phase.cost * self.step_seconds + overhead * n_blocks + compiling
            begin = end
        return seconds

    def progress_a_step(self, progress: float) -> float:
        """Return the progress of each step of the next block, at least 1 / n_steps."""
        usual = 1 / self.n_steps
        if self.time_budget is None or self.step_seconds == 0:
            return usual
        left = self.time_budget.left()
        if self.seconds_for(self.n_steps, progress) <= left:
            return usual
        few, many = 1.0, float(self.n_steps)
        while many - few > 0.1:
            middle = (few + many) / 2
            if self.seconds_for(middle, progress) > left:
                many = middle
            else:
                few = middle
        return 1 / few

    def require(self, what: str) -> None:
        """Refuse a time budget in which not even a short fit has place; raises TooShort."""
        if self.time_budget is not None:
            least = min(self.n_steps, LEAST_STEPS)
            self.time_budget.require(self.seconds_for(least, 0.0), what)
