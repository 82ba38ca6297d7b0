"""What `inr sweep --dry-run` says: all runs and the time they will take."""

from inr.studies.sweep import Todo
from inr.studies.sweep.estimate import measured_speed, total_seconds


def listing(todo: Todo) -> tuple[list[str], float, str]:
    """A line a run, the seconds that those not yet done will take, and what that rests on."""
    groups = {run.config_hash: i for i, group in enumerate(todo.groups) for run in group}
    lines = []
    for run in todo.runs:
        group = groups.get(run.config_hash)
        state = "done" if group is None else f"batch {group}"
        lines.append(f"{run.label}  {state}")
    speed = measured_speed(todo.earlier)
    return lines, total_seconds(todo.groups, speed, todo.jobs), speed.told()
