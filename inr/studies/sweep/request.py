"""What a sweep is asked for, the runs that this makes, and what is measured of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError
from inr.options import AnyRecipe, EncodeOptions
from inr.studies.ledger import Entry, Ledger

Varied = tuple[tuple[str, str], ...]  # (path, value as given), in the order of --vary

_REQUEST_DIGITS = 40  # of a config hash; those behind are the hash of the code


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


def parse_vary(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """Split ["quantize.bits=4,6"] into {"quantize.bits": ("4", "6")}; UsageError for all else."""
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


@dataclass(frozen=True)
class Run:
    """One encoding of a sweep."""

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
        return self.config_hash[:_REQUEST_DIGITS]

    @property
    def setting(self) -> str:
        values = (f"{path}={value}" for path, value in self.varied)
        return " ".join([*values, f"seed {self.options.seed}"])

    @property
    def label(self) -> str:
        return f"{self.picture} {self.recipe.name} {self.setting}"

    @property
    def entry(self) -> Entry:
        config = repr((self.recipe, self.options))
        return Entry(
            self.config_hash,
            self.request_hash,
            self.picture,
            self.recipe.name,
            self.setting,
            config,
        )

    def file(self, folder: Path) -> Path:
        """Return where the finished .inr file stands in the folder of the sweep."""
        return folder / "files" / f"{self.config_hash}.inr"


Group = tuple[Run, ...]  # runs of one shape, to be fitted at once


@dataclass(frozen=True)
class Result:
    """What is known of a finished run, besides its file."""

    n_bytes: int
    bpp: float
    psnr_db: float  # inf where every pixel came back
    ms_ssim: float | None  # None: the picture is too small for it
    sparsity: float | None  # fraction of zero codes in the trained matrices; None of other kinds
    steps: int
    seconds: float  # wall time of the encoding; of a batch, an even share
    n_together: int  # runs fitted in that batch
    cores: int  # that the process could use
    work: float  # floating-point operations of the fit, about
    commit: str
    machine: str


def ledger_of(folder: Path) -> Ledger[Result]:
    """Name the ledger of the sweeps in a folder."""
    return Ledger(folder, "runs", Result)
