"""Lets Pillow open and save .inr files.

Opening tells size, mode and profile; pixels are drawn when they are first asked for, at the size
that the file was made from. `Image.open` warns of too many pixels and refuses twice as many, as it
does for every format, by `Image.MAX_IMAGE_PIXELS`. What is left is refused when it is loaded, by
the limits of `inr.decode`; who raises Pillow's limit of pixels raises that of loading with it.

`image.save(path, ...)` takes the options of `inr.encode`, names of recipes too. Pillow's own
writers pass over options that they do not know. Here one that is misspelt would cost an hour of
fitting, so it is refused, with the ValueError that those writers raise for values they cannot use.
"""

import inspect
import warnings
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

if TYPE_CHECKING:
    from inr.options import AnyRecipe

_MAGIC = b"\x89INR"
_PART_BYTES = 1 << 20  # read at once: files take memory for what they are asked for, not for less


class InrImageFile(ImageFile.ImageFile):
    """An .inr file; the field is drawn when pixels are first asked for."""

    format = "INR"
    format_description = "Implicit neural representation"

    def _open(self) -> None:
        from inr.errors import FormatError
        from inr.format.container import icc_profile_of
        from inr.kinds import open_file

        assert self.fp is not None
        self._inr_data = _read(self.fp)
        try:
            file = open_file(self._inr_data)
            profile = icc_profile_of(file.sections)
        except FormatError as error:
            raise OSError(str(error)) from error  # what Pillow's callers expect of a bad file
        if profile is not None:
            self.info["icc_profile"] = profile
        header = file.header
        self._size = (header.width, header.height)
        modes = ("L", "LA", "RGB", "RGBA")
        sixteen_bit_grey = header.bit_depth == 16 and header.n_channels == 1
        self._mode = "I;16" if sixteen_bit_grey else modes[header.n_channels - 1]
        self.tile = []

    def load(self) -> Any:
        if self._im is None:
            from inr.codec import decode_picture
            from inr.errors import InrError
            from inr.image.write import to_pil
            from inr.options import DecodeOptions

            if self._exclusive_fp and self.fp is not None:
                self.fp.close()  # Pillow closes only the files of pictures that have tiles
            self.fp = None  # all of it was read by _open
            options = DecodeOptions(max_pixels=_max_pixels())
            try:
                drawn = to_pil(decode_picture(self._inr_data, options))
            except InrError as error:
                raise OSError(str(error)) from error
            self.im = drawn.im
        return super().load()


def _read(file: IO[bytes]) -> bytes:
    """What is left of the file, but not much more than an .inr file may have."""
    from inr.format.container import MAX_FILE_BYTES

    parts, n_bytes = [], 0
    while n_bytes <= MAX_FILE_BYTES and (part := file.read(_PART_BYTES)):
        parts.append(part)
        n_bytes += len(part)
    return b"".join(parts)


def _max_pixels() -> int | None:
    from inr.format.container import DEFAULT_MAX_PIXELS

    limit = Image.MAX_IMAGE_PIXELS
    return None if limit is None else max(DEFAULT_MAX_PIXELS, limit)


def _accepts(prefix: bytes) -> bool:
    return prefix.startswith(_MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from inr.codec import encode

    # Pillow has opened the file, and emptied one that was there before; a new one it removes if
    # this fails.
    given = {name: value for name, value in image.encoderinfo.items() if value is not None}
    known = [name for name in inspect.signature(encode).parameters if name != "image"]
    _check_options(given, known)
    if "recipe" in given:
        given["recipe"] = _recipe_of(given["recipe"])
    data = encode(_with_profile(image), **{name: given[name] for name in known if name in given})
    file.write(data)


def _check_options(given: dict[str, Any], known: list[str]) -> None:
    from inr.errors import UsageError

    appended = len(given.get("append_images", ()))
    if appended:
        raise UsageError(f"an .inr file holds one picture, not {1 + appended}; save each alone")
    unknown = sorted(given.keys() - {*known, "icc_profile", "exif", "append_images"})
    if unknown:
        raise UsageError(
            f"an .inr file has no option {', '.join(unknown)}; there are "
            f"{', '.join([*known, 'icc_profile'])}"
        )
    if given.get("exif"):  # from code that hands it on to any format
        warnings.warn("an .inr file holds no EXIF data; it is left out", stacklevel=4)


def _recipe_of(given: Any) -> "AnyRecipe":
    from inr.errors import UsageError
    from inr.kinds import kind_of
    from inr.recipes import all_recipes, named

    if isinstance(given, str):
        return named(given)
    try:
        kind_of(given)
    except TypeError:
        known = ", ".join(all_recipes())
        raise UsageError(f"recipe={given!r}: expected one of {known}, or a recipe") from None
    recipe: AnyRecipe = given
    return recipe


def _with_profile(image: Image.Image) -> Image.Image:
    """Return the image with the profile that the caller names, which may be none, in place of its
    own."""
    if "icc_profile" not in image.encoderinfo:
        return image
    image, profile = image.copy(), image.encoderinfo["icc_profile"]
    image.info["icc_profile"] = profile
    if not profile:
        del image.info["icc_profile"]
    return image


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """What Pillow calls for save_all=True, and where there are images to append."""
    from inr.errors import UsageError

    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1:
        raise UsageError(f"an .inr file holds one picture, not {n_frames} frames; save each alone")
    _save(image, file, filename)


def register() -> None:
    """Make Pillow know the format."""
    Image.register_open(InrImageFile.format, InrImageFile, _accepts)
    Image.register_save(InrImageFile.format, _save)
    Image.register_save_all(InrImageFile.format, _save_all)
    Image.register_extension(InrImageFile.format, ".inr")
    Image.register_mime(InrImageFile.format, "image/x-inr")
