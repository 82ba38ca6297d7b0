"""The plan of a sweep: all its runs, checked before the first fit begins.

Runs are pictures x recipes x varied values x seeds, in this order; seeds change fastest, then the
values of the last varied path.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inr import recipes
from inr.codec import batch_key
from inr.errors import UsageError
from inr.image.picture import Picture
from inr.kinds import kind_of
from inr.options import AnyRecipe, EncodeOptions, Job, parse_target
from inr.printable import distinct
from inr.settings import with_settings
from inr.studies.code_hash import code_hash

Varied = tuple[tuple[str, str], ...]  # (path, value as given), in the order of --vary

_REQUEST_DIGITS = 40  # of a config hash; those behind are the hash of the code

# Targets are the caller's options, not the recipe's setting: they take effect at fixed sizes too.
TARGETS: dict[str, type[int] | type[float]] = {
    "target_bpp": float,
    "target_bytes": int,
    "target_psnr": float,
}


@dataclass(frozen=True)
class Request:
    """What to sweep, as the command line gives it."""

    pictures: tuple[Path, ...]
    recipes: tuple[str, ...]
    varied: Mapping[str, tuple[str, ...]]  # values by path, as in {"quantize.bits": ("4", "6")}
    settings: Mapping[str, str]  # the same for all runs; a target such as target_bpp may be here
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for name in ("pictures", "recipes", "seeds"):
            if not vars(self)[name]:
                raise UsageError(f"a sweep without {name} has no runs; name at least one")
        for path in self.varied:
            if path in self.settings:
                raise UsageError(f"{path} is both set and varied; give it once")
            if path == "seed":
                raise UsageError("seeds are varied by --seed 0 --seed 1, not by --vary")


@dataclass(frozen=True)
class Run:
    """One fit of the sweep."""

    config_hash: str  # of all that decides the bytes; also the name of the file
    picture: str  # its name in the tables, printable
    path: Path
    recipe: AnyRecipe  # with all settings
    varied: Varied  # values printable
    options: EncodeOptions
    shape: int  # runs of equal number can be fitted in one batch
    work: float  # floating-point operations of the fit, about

    @property
    def request_hash(self) -> str:
        """The same for the same picture, recipe and options, whatever the code."""
        return request_part(self.config_hash)

    @property
    def label(self) -> str:
        settings = (f"{path}={value}" for path, value in self.varied)
        return " ".join([self.picture, self.recipe.name, *settings, f"seed {self.options.seed}"])


def parse_vary(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """["quantize.bits=4,6"] -> {"quantize.bits": ("4", "6")}; ValueError for anything else."""
    varied: dict[str, tuple[str, ...]] = {}
    for text in texts:
        path, _, listed = (part.strip() for part in text.partition("="))
        values = tuple(value.strip() for value in listed.split(","))
        if not path or "" in values:
            raise UsageError(f"--vary {text}: expected PATH=V1,V2,..., as in quantize.bits=4,6,8")
        if path in varied:
            raise UsageError(f"--vary {path} is given twice; list all its values in one")
        varied[path] = values
    return varied


def plan(request: Request, *, same_shape: bool, warn: Callable[[str], None]) -> tuple[Run, ...]:
    """All runs of a sweep, in the order of its tables.

    Args:
      same_shape: find out which runs could be fitted together; else each has its own shape.
      warn: called with a line for each thing that a picture loses.
    Raises:
      ValueError: an unreadable picture, an unknown recipe or path, a value that does not fit, or
        two runs that are the same (a picture, value or seed named twice, as in 6 and 6.0).
    """
    from inr.image.read import load

    variants = [
        variant for name in request.recipes for variant in _variants(recipes.named(name), request)
    ]
    shapes: dict[Hashable, int] = {}
    works: dict[Hashable, float] = {}  # pictures of one size take the same
    runs: dict[str, Run] = {}
    for path, picture_name in zip(request.pictures, _names(request.pictures), strict=True):
        _check_readable_again(path)
        picture = load(path, warn=warn)
        pixels_hash = hash_of_picture(picture)
        for recipe, varied, options in variants:
            size = (picture.pixels.shape, recipe, options)
            if size not in works:
                works[size] = kind_of(recipe).work(Job(picture, recipe, options))
            key = _batch_key(picture, recipe, options) if same_shape else None
            for seed in request.seeds:
                seeded = dataclasses.replace(options, seed=seed)
                config_hash = hash_of_run(pixels_hash, recipe, seeded)
                shape = shapes.setdefault(config_hash if key is None else key, len(shapes))
                run = Run(
                    *(config_hash, picture_name, path, recipe),
                    *(varied, seeded, shape, works[size]),
                )
                if config_hash in runs:
                    raise UsageError(
                        f"two runs are the same: {runs[config_hash].label}, and {run.label}; name "
                        "each picture, recipe, value and seed once"
                    )
                runs[config_hash] = run
    return tuple(runs.values())


def hash_of_picture(picture: Picture) -> str:
    """Hash of all that an encoder sees of a picture."""
    digest = hashlib.sha256(repr((picture.pixels.shape, picture.pixels.dtype.name)).encode())
    digest.update(picture.pixels.tobytes())
    digest.update(picture.icc_profile or b"")
    return digest.hexdigest()


def hash_of_run(pixels_hash: str, recipe: AnyRecipe, options: EncodeOptions) -> str:
    """Hash of picture, recipe, options with its seed, and of the code that is to run.

    Returns:
      64 hexadecimal digits: those of `hash_of_request`, then those of the code. So a ledger shows
      which of its rows other code has made.
    """
    return hash_of_request(pixels_hash, recipe, options) + code_hash()


def hash_of_request(pixels_hash: str, recipe: AnyRecipe, options: EncodeOptions) -> str:
    """Hash of picture, recipe and options with its seed: 40 hexadecimal digits."""
    # The last fact was the version once; it is kept so that rows of that time are known again.
    facts = (repr(pixels_hash), kind_of(recipe).fingerprint(recipe), repr(options), "'0.1.0'")
    asked = hashlib.sha256(f"({', '.join(facts)})".encode())
    return request_part(asked.hexdigest())


def request_part(config_hash: str) -> str:
    """What a config hash begins with, whatever the code."""
    return config_hash[:_REQUEST_DIGITS]


def _variants(
    recipe: AnyRecipe, request: Request
) -> Iterator[tuple[AnyRecipe, Varied, EncodeOptions]]:
    shown = {path: dict(zip(v, distinct(v), strict=True)) for path, v in request.varied.items()}
    for values in itertools.product(*request.varied.values()):
        varied = dict(zip(request.varied, values, strict=True))
        settings = dict(request.settings) | varied
        targets = {name: settings.pop(name) for name in TARGETS if name in settings}
        told = tuple((path, shown[path][value]) for path, value in varied.items())
        yield with_settings(recipe, settings), told, _parse_options(targets)


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
    """File names, or whole paths where two pictures share a name; each for one path."""
    names = distinct([path.name for path in paths])
    return names if len(set(names)) == len(names) else distinct([str(path) for path in paths])


def _check_readable_again(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(
            f"{path} is not an ordinary file, and a sweep reads its pictures more than once; "
            "copy it to a file"
        )


def _batch_key(picture: Picture, recipe: AnyRecipe, options: EncodeOptions) -> Hashable | None:
    """None where a run must go alone: no batch can do it, or it fails, which is told when its turn
    comes."""
    try:
        return batch_key(Job(picture, recipe, options))
    except UsageError:
        return None
