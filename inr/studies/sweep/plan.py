"""The plan of a sweep: all its runs, checked before the first fit begins.

Runs are pictures x recipes x varied values x seeds, in this order; seeds change fastest, then the
values of the last varied path.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr.codec import batch_key
from inr.errors import UsageError
from inr.image.picture import Picture
from inr.image.read import load
from inr.kinds import kind_of
from inr.options import AnyRecipe, EncodeOptions, Job, Warn, parse_target
from inr.printable import distinct
from inr.recipes import named
from inr.settings import with_settings
from inr.studies.code_hash import code_hash
from inr.studies.folder import StudyFolder
from inr.studies.sweep.request import Group, Request, Result, Run, Varied, ledger_of

# Targets are the caller's options, not the recipe's setting: they take effect at fixed sizes too.
TARGETS: dict[str, type[int] | type[float]] = {
    "target_bpp": float,
    "target_bytes": int,
    "target_psnr": float,
}
_FOLDER = StudyFolder(
    "sweep", outputs=("runs.csv", "runs.parquet", "rd.png", "report.html"), folders=("files",)
)


@dataclass(frozen=True)
class Plan:
    """A sweep that is planned and not yet run."""

    folder: Path
    runs: tuple[Run, ...]
    finished: frozenset[str]  # config hashes of the runs that are in the ledger already
    groups: tuple[Group, ...]  # the others
    earlier: tuple[Result, ...]  # all that the ledger knows of past runs
    jobs: int  # groups to fit at a time


def plan_sweep(
    request: Request,
    folder: Path,
    *,
    jobs: int,
    batch: int,
    warn: Warn,
    code: str | None = None,
) -> Plan:
    """Find out what there is to run, and what the folder has already; writes nothing.

    Args:
      jobs: groups to fit at a time.
      batch: most runs in a group.
      warn: called with a line for each thing that a picture loses, and if runs are made again
        because the code is another than before.
      code: hash of the code that is to run; None: of this one.
    Raises:
      UsageError: a request that cannot be met, or a folder that is not a sweep's.
    """
    ledger = ledger_of(folder)
    _FOLDER.check(folder, request.pictures)
    results = ledger.rows()
    runs = list_runs(request, same_shape=batch > 1, warn=warn, code=code)
    finished = frozenset(
        run.config_hash
        for run in runs
        if run.config_hash in results
        and _has_bytes(run.file(folder), results[run.config_hash].n_bytes)
    )
    pending = [run for run in runs if run.config_hash not in finished]
    # Those of this code are run again for another reason: their files are lost.
    new = [run for run in pending if run.config_hash not in results]
    _warn_of_other_code(new, ledger.last_by_request(), warn)
    groups = group_runs(pending, batch=batch, jobs=jobs)
    return Plan(folder, runs, finished, tuple(groups), tuple(results.values()), jobs)


def list_runs(
    request: Request, *, same_shape: bool, warn: Warn, code: str | None = None
) -> tuple[Run, ...]:
    """List all runs of a sweep, in the order of its tables.

    Args:
      same_shape: find out which runs could be fitted together; else each has its own shape.
      warn: called with a line for each thing that a picture loses.
      code: hash of the code that is to run; None: of this one.
    Raises:
      UsageError: an unreadable picture, an unknown recipe or path, a value that does not fit, or
        two runs that are the same (a picture, value or seed named twice, as in 6 and 6.0).
    """
    code = code_hash() if code is None else code
    variants = [variant for name in request.recipes for variant in _variants(named(name), request)]
    shapes: dict[Hashable, int] = {}
    works: dict[Hashable, float] = {}  # pictures of one size take the same
    runs: dict[str, Run] = {}
    for path, picture_name in zip(request.pictures, _names(request.pictures), strict=True):
        _check_readable_again(path)
        picture = load(path, warn=warn)
        pixels_hash = hash_of_picture(picture)
        for recipe, varied, options in variants:
            job = Job(picture, recipe, options)
            size = (picture.pixels.shape, recipe, options)
            if size not in works:
                works[size] = kind_of(recipe).work(job)
            key = _batch_key(job) if same_shape else None
            for seed in request.seeds:
                seeded = dataclasses.replace(options, seed=seed)
                config_hash = hash_of_request(pixels_hash, recipe, seeded) + code
                shape = shapes.setdefault(config_hash if key is None else key, len(shapes))
                run = Run(
                    config_hash=config_hash,
                    picture=picture_name,
                    path=path,
                    recipe=recipe,
                    varied=varied,
                    options=seeded,
                    shape=shape,
                    work=works[size],
                )
                if config_hash in runs:
                    raise UsageError(
                        f"two runs are the same: {runs[config_hash].label}, and {run.label}; name "
                        "each picture, recipe, value and seed once"
                    )
                runs[config_hash] = run
    return tuple(runs.values())


def group_runs(runs: Sequence[Run], *, batch: int, jobs: int) -> list[Group]:
    """Put runs of one shape together, at most `batch`, in no fewer groups than there are jobs."""
    by_shape: dict[int, list[Run]] = {}
    for run in runs:
        by_shape.setdefault(run.shape, []).append(run)
    groups: list[Group] = []
    for same in by_shape.values():
        size = min(batch, -(-len(same) // jobs))
        groups += [tuple(same[i : i + size]) for i in range(0, len(same), size)]
    return groups


def hash_of_picture(picture: Picture) -> str:
    """Hash all that an encoder sees of a picture."""
    digest = hashlib.sha256(repr((picture.pixels.shape, picture.pixels.dtype.name)).encode())
    digest.update(picture.pixels.tobytes())
    digest.update(picture.icc_profile or b"")
    return digest.hexdigest()


def hash_of_request(pixels_hash: str, recipe: AnyRecipe, options: EncodeOptions) -> str:
    """Hash picture, recipe and options with its seed, without the code.

    Returns:
      40 hexadecimal digits. A config hash has 24 more, of the code, so that a ledger shows which
      of its rows other code has made.
    """
    facts = (pixels_hash, kind_of(recipe).fingerprint(recipe), options)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:40]


def load_again(run: Run) -> Picture:
    """Read the picture of a run again.

    Raises:
      UsageError: it cannot be read any more, or it is another one (or the weights that its recipe
        names are).
    """
    picture = load(run.path, warn=lambda text: None)  # the plan has warned already
    if hash_of_request(hash_of_picture(picture), run.recipe, run.options) != run.request_hash:
        raise UsageError(f"{run.path} changed while the sweep was running; start it again")
    return picture


def _variants(
    recipe: AnyRecipe, request: Request
) -> Iterator[tuple[AnyRecipe, Varied, EncodeOptions]]:
    shown = {path: dict(zip(v, distinct(v), strict=True)) for path, v in request.varied.items()}
    for values in itertools.product(*request.varied.values()):
        varied = dict(zip(request.varied, values, strict=True))
        settings = dict(request.settings) | varied
        targets = {name: settings.pop(name) for name in TARGETS if name in settings}
        printable = tuple((path, shown[path][value]) for path, value in varied.items())
        yield with_settings(recipe, settings), printable, _parse_options(targets)


def _parse_options(targets: Mapping[str, str]) -> EncodeOptions:
    values: dict[str, Any] = {}
    for name, text in targets.items():
        try:
            values[name] = TARGETS[name](text)
        except ValueError:
            expected = "a whole number" if TARGETS[name] is int else "a number"
            raise UsageError(f"{name}={text}: expected {expected}") from None
    return EncodeOptions(parse_target(values))


def _names(paths: tuple[Path, ...]) -> list[str]:
    """Return file names, or whole paths where two pictures share a name."""
    names = distinct([path.name for path in paths])
    return names if len(set(names)) == len(names) else distinct([str(path) for path in paths])


def _check_readable_again(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(
            f"{path} is not an ordinary file, and a sweep reads its pictures more than once; "
            "copy it to a file"
        )


def _batch_key(job: Job[Any]) -> Hashable | None:
    """Return None where a run must go alone: no batch can do it, or it fails, which is reported
    when its turn comes."""
    try:
        return batch_key(job)
    except UsageError:
        return None


def _has_bytes(path: Path, n_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == n_bytes


def _warn_of_other_code(runs: Sequence[Run], earlier: Mapping[str, Result], warn: Warn) -> None:
    commits = [earlier[run.request_hash].commit for run in runs if run.request_hash in earlier]
    if commits:
        rows, again = ("row was", "is") if len(commits) == 1 else ("rows were", "are")
        by = ", ".join(sorted(set(commits)))
        warn(f"{len(commits)} {rows} made by other code (commit {by}) and {again} run again")
