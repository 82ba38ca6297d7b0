"""Lets Pillow open .inr files, at the size they were made from."""

from typing import IO, Any

from PIL import Image, ImageFile

_MAGIC = b"\x89INR"


class InrImageFile(ImageFile.ImageFile):
    """An .inr file; the field is drawn when pixels are first asked for."""

    format = "INR"
    format_description = "Implicit neural representation"

    def _open(self) -> None:
        from inr.any_file import open_any
        from inr.errors import FormatError

        assert self.fp is not None
        self._inr_data = self.fp.read()
        try:
            opened = open_any(self._inr_data)
            profile = opened.icc_profile()
        except FormatError as error:
            raise OSError(str(error)) from error  # what Pillow's callers expect of a bad file
        if profile is not None:
            self.info["icc_profile"] = profile
        header = opened.header
        self._size = (header.width, header.height)
        modes = ("L", "LA", "RGB", "RGBA")
        sixteen_bit_grey = header.bit_depth == 16 and header.n_channels == 1
        self._mode = "I;16" if sixteen_bit_grey else modes[header.n_channels - 1]
        self.tile = []

    def load(self) -> Any:
        if self._im is None:
            from inr.codec import View, decode_picture
            from inr.errors import FormatError
            from inr.image_save import to_pil

            try:
                drawn = to_pil(decode_picture(self._inr_data, View(max_pixels=None)))
            except FormatError as error:
                raise OSError(str(error)) from error
            self.im = drawn.im
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()  # Pillow closes only the files of pictures that have tiles
            self.fp = None
        return super().load()


def _accepts(prefix: bytes) -> bool:
    return prefix.startswith(_MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from inr.codec import encode

    given = image.encoderinfo  # what the caller passed to Image.save
    data = encode(
        image,
        given.get("recipe"),
        target_bpp=given.get("target_bpp"),
        target_bytes=given.get("target_bytes"),
        seed=given.get("seed", 0),
    )
    file.write(data)


def register() -> None:
    """Makes Pillow know the format."""
    Image.register_open(InrImageFile.format, InrImageFile, _accepts)
    Image.register_save(InrImageFile.format, _save)
    Image.register_extension(InrImageFile.format, ".inr")
    Image.register_mime(InrImageFile.format, "image/x-inr")
