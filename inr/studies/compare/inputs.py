"""What a comparison is given: pictures, codecs, recipes and a folder, checked before the work."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inr.codec import decode_picture, encode_picture
from inr.errors import UsageError
from inr.image.picture import Picture
from inr.image.read import load
from inr.kinds import kind_of, trusting_options
from inr.options import AnyRecipe, EncodeOptions, Warn
from inr.printable import distinct
from inr.progress import progress_bar
from inr.recipes import named
from inr.settings import with_settings
from inr.studies.baselines import CODECS, PictureCodec, Pixels, find_codec
from inr.studies.code_hash import code_hash
from inr.studies.folder import StudyFolder

TARGET_BPPS = (0.1, 0.2, 0.3, 0.45, 0.6)  # where recipes are used; each is a fit of its own
_FOLDER = StudyFolder(
    "comparison", outputs=("rows.csv", "rd.png", "report.html"), former_ledger="rows.jsonl"
)


@dataclass(frozen=True)
class NamedPicture:
    """A picture under the name that its rows carry."""

    name: str  # printable
    pixels: Pixels
    path: Path | None = None  # its file, which no result may overwrite


def load_pictures(paths: Sequence[Path], *, max_pixels: int, warn: Warn) -> list[NamedPicture]:
    """Open pictures as 8-bit RGB.

    Raises:
      ImageError: a file that is no picture.
      UsageError: alpha, 16 bits, or two files of one name.
    """
    names = dict(zip(paths, distinct([path.name for path in paths]), strict=True))
    pictures: dict[str, NamedPicture] = {}
    for path in paths:
        picture = load(path, max_pixels=max_pixels, warn=warn)
        if picture.has_alpha or picture.bit_depth != 8:
            what = "has alpha" if picture.has_alpha else f"has {picture.bit_depth} bits"
            raise UsageError(
                f"{path} {what}, which not every codec here can store; convert it to 8-bit RGB"
            )
        if names[path] in pictures:
            raise UsageError(f"two pictures are called {path.name}; rename one of them")
        pixels = np.broadcast_to(picture.pixels, (picture.height, picture.width, 3))
        pictures[names[path]] = NamedPicture(names[path], np.ascontiguousarray(pixels), path)
    return list(pictures.values())


def choose_codecs(
    names: Sequence[str], anchor: str, *, warn: Warn, codecs: Sequence[PictureCodec] = CODECS
) -> list[PictureCodec]:
    """Choose the codecs of these names and the anchor's, or without names all that can run here.

    Raises:
      UsageError: an unknown name, or a codec asked for by name that cannot run here.
    """
    is_classical = any(codec.name == anchor for codec in codecs)
    wanted = [find_codec(name, codecs) for name in dict.fromkeys(names)]
    if names and is_classical and anchor not in names:
        wanted.insert(0, find_codec(anchor, codecs))
    chosen = []
    for codec in wanted or codecs:
        reason = codec.missing()
        if reason is None:
            chosen.append(codec)
        elif names or codec.name == anchor:
            raise UsageError(f"{codec.name} cannot run here: {reason}")
        else:
            warn(f"{codec.name} is left out: {reason}")
    return chosen


def choose_recipes(
    names: Sequence[str],
    settings: Mapping[str, str],
    target_bpps: Sequence[float],
    lambdas: Sequence[float] = (),
    *,
    seed: int,
    show_progress: bool,
) -> list[PictureCodec]:
    """Choose the recipes of these names, with the same settings changed in each.

    Args:
      target_bpps, lambdas: where recipes are used whose rate is steered so; none for the values
        that their kind names.
    Raises:
      UsageError: an unknown recipe, setting or model, or a target, lambda or seed out of range.
    """
    if "lambda" in settings:
        raise UsageError("a curve is drawn by a list of lambdas: give --lambda, not --set lambda")
    return [
        codec_of(
            with_settings(named(name), settings),
            target_bpps,
            lambdas,
            seed=seed,
            show_progress=show_progress,
        )
        for name in dict.fromkeys(names)
    ]


def codec_of(
    recipe: AnyRecipe,
    target_bpps: Sequence[float],
    lambdas: Sequence[float] = (),
    *,
    seed: int = 0,
    show_progress: bool = False,
) -> PictureCodec:
    """Give a recipe the shape of a classical codec, whose quality is what steers its kind."""
    kind = kind_of(recipe)
    axis = kind.rate_axis
    given = {"target_bpp": target_bpps, "lambda": lambdas}
    is_falling = axis.default_values[0] > axis.default_values[-1]
    values = sorted(given.get(axis.name) or axis.default_values, reverse=is_falling)
    options = trusting_options(recipe)
    runs = {value: axis.at(recipe, EncodeOptions(seed=seed), value) for value in values}

    def encode(pixels: Pixels, quality: float) -> bytes:
        with progress_bar(show=show_progress) as report:
            return encode_picture(Picture(pixels), *runs[quality], report=report).data

    return PictureCodec(
        recipe.name,
        f"{kind.fingerprint(recipe)}, seed {seed}; {axis.name}",
        tuple(runs),
        encode,
        lambda data: decode_picture(data, options).pixels,
        lambda: None,
        lambda: f"inr {importlib.metadata.version('inr')}, code {code_hash()}",
    )


def make_folder(out_dir: Path, inputs: Sequence[Path] = ()) -> None:
    """Make the folder, and find out before the work what would stop the results.

    Args:
      inputs: files that no result may overwrite.
    Raises:
      UsageError: it cannot be made, holds results that no comparison has written, or an input would
        be overwritten.
    """
    _FOLDER.check(out_dir, inputs)
    if not out_dir.parent.is_dir():
        raise UsageError(f"the folder {out_dir.parent} does not exist")
    (out_dir / "encoded").mkdir(parents=True, exist_ok=True)
