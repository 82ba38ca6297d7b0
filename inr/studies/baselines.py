"""Classical codecs to compare with, through well-kept libraries, at settings that do them justice.

All of them code the same u8 RGB pixels, and all bytes of the file count. Library defaults would be
straw men: Pillow's JPEG 2000 has no colour transform, its AVIF is tuned for looks at speed 6 and
4:2:0. JPEG XL and WebP are built for looks rather than PSNR: judge them by MS-SSIM as well.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inr.errors import CodecError, UsageError
from inr.studies import baselines_ffmpeg
from inr.studies.failures import one_line

Pixels = NDArray[np.uint8]  # [h, w, 3] RGB


@dataclass(frozen=True)
class PictureCodec:
    """One way to code pictures, all settings fixed but the number that steers the rate.

    encode and decode raise CodecError where another library fails.
    """

    name: str
    settings: str  # a line for the report; ends with what that number is
    qualities: tuple[float, ...]  # smallest file first; about 0.1 to 2 bpp on photographs
    encode: Callable[[Pixels, float], bytes]  # a whole file; any size from 1x1
    decode: Callable[[bytes], Pixels]  # what encode made, at the same size
    missing: Callable[[], str | None]  # why it cannot run here, None where it can
    library: Callable[[], str]  # name and version, once missing() is None


def find_codec(name: str, codecs: Sequence[PictureCodec] | None = None) -> PictureCodec:
    """Return the codec of that name, of those given or all; UsageError lists those there are."""
    codecs = CODECS if codecs is None else codecs
    for codec in codecs:
        if codec.name == name:
            return codec
    known = ", ".join(codec.name for codec in codecs)
    raise UsageError(f"unknown codec {name!r}; there are {known}")


@contextlib.contextmanager
def _foreign(library: str) -> Iterator[None]:
    """Turn what another library raises into CodecError: of a dozen kinds, for bad luck."""
    try:
        yield
    except Exception as error:
        raise CodecError(f"{library}: {one_line(error)}") from error


def _encode_pillow(
    pixels: Pixels,
    quality: float,
    *,
    form: str,
    options: Callable[[float], dict[str, Any]],
) -> bytes:
    chosen = options(quality)
    buffer = io.BytesIO()
    with _foreign("Pillow"):
        from PIL import Image

        Image.fromarray(pixels).save(buffer, form, **chosen)
    return buffer.getvalue()


def _decode_pillow(data: bytes) -> Pixels:
    with _foreign("Pillow"):
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))


def _pillow_missing(feature: str) -> str | None:
    from PIL import features

    if features.check(feature):
        return None
    return f"this Pillow was built without {feature}; pip install --force-reinstall pillow"


def _pillow_library(feature: str, name: str) -> str:
    import PIL
    from PIL import features

    return f"Pillow {PIL.__version__}, {name} {features.version(feature)}"


def _with_pillow(
    name: str,
    settings: str,
    qualities: tuple[float, ...],
    form: str,
    options: Callable[[float], dict[str, Any]],
    feature: str,
    library: tuple[str, str],
) -> PictureCodec:
    return PictureCodec(
        name,
        settings,
        qualities,
        partial(_encode_pillow, form=form, options=options),
        _decode_pillow,
        partial(_pillow_missing, feature),
        partial(_pillow_library, *library),
    )


def _jpeg_options(quality: float, subsampling: str) -> dict[str, Any]:
    # Progressive: smaller than baseline in nearly every file, and read by everything.
    return {
        "quality": int(quality),
        "subsampling": subsampling,
        "optimize": True,
        "progressive": True,
    }


def _jpeg2000_options(ratio: float) -> dict[str, Any]:
    return {
        "quality_mode": "rates",
        "quality_layers": [ratio],
        "irreversible": True,
        "mct": 1,
        "no_jp2": True,
    }


def _webp_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "method": 6}


def _avif_options(quality: float) -> dict[str, Any]:
    return {
        "quality": int(quality),
        "speed": 4,
        "subsampling": "4:4:4",
        "advanced": {"tune": "psnr"},
    }


def _encode_jxl(pixels: Pixels, distance: float) -> bytes:
    with _foreign("imagecodecs"):
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(pixels, distance=distance, effort=7))


def _decode_jxl(data: bytes) -> Pixels:
    with _foreign("imagecodecs"):
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(data), dtype=np.uint8)


def _jxl_missing() -> str | None:
    try:
        import imagecodecs
    except ImportError as error:
        return f"imagecodecs cannot be loaded ({error}); pip install --force-reinstall imagecodecs"
    if imagecodecs.JPEGXL.available:
        return None
    return "this imagecodecs was built without JPEG XL; pip install --force-reinstall imagecodecs"


def _jxl_library() -> str:
    import imagecodecs

    return f"imagecodecs {imagecodecs.__version__}, {imagecodecs.jpegxl_version()}"


_JPEG_QUALITIES = (3, 5, 8, 12, 18, 26, 38, 50, 65, 78, 88, 94)
_TURBO = ("libjpeg_turbo", "libjpeg-turbo")

CODECS: tuple[PictureCodec, ...] = (
    _with_pillow(
        "jpeg420",
        "JPEG, 4:2:0, optimised Huffman tables, progressive; quality",
        _JPEG_QUALITIES,
        "JPEG",
        partial(_jpeg_options, subsampling="4:2:0"),
        "jpg",
        _TURBO,
    ),
    _with_pillow(
        "jpeg444",
        "JPEG, 4:4:4, optimised Huffman tables, progressive; quality",
        _JPEG_QUALITIES,
        "JPEG",
        partial(_jpeg_options, subsampling="4:4:4"),
        "jpg",
        _TURBO,
    ),
    _with_pillow(
        "jpeg2000",
        "JPEG 2000, irreversible 9/7 wavelet, colour transform, codestream without JP2 boxes; "
        "compression ratio",
        (240, 160, 110, 80, 55, 40, 28, 20, 14, 10),
        "JPEG2000",
        _jpeg2000_options,
        "jpg_2000",
        ("jpg_2000", "OpenJPEG"),
    ),
    _with_pillow(
        "webp",
        "WebP, method 6 (slowest), always 4:2:0; quality",
        (0, 5, 15, 25, 40, 55, 70, 80, 87, 92, 96),
        "WEBP",
        _webp_options,
        "webp",
        ("webp", "libwebp"),
    ),
    _with_pillow(
        "avif",
        "AVIF (AV1), 4:4:4, speed 4, tune=psnr; quality",
        (2, 8, 15, 22, 30, 38, 46, 54, 62, 70, 78, 86),
        "AVIF",
        _avif_options,
        "avif",
        ("avif", "libavif"),
    ),
    PictureCodec(
        "jxl",
        "JPEG XL, effort 7, codestream without container; Butteraugli distance",
        (25, 18, 12, 8.5, 6, 4.2, 3, 2, 1.4, 1, 0.6),
        _encode_jxl,
        _decode_jxl,
        _jxl_missing,
        _jxl_library,
    ),
    PictureCodec(
        "hevc",
        "HEVC intra like BPG: x265 veryslow, YCbCr 4:4:4 of 8 bits, psy-rd=0 psy-rdoq=0 aq-mode=0, "
        "raw stream and 4 bytes for the size; QP",
        (47, 44, 41, 38, 35, 32, 29, 26, 23, 20),
        baselines_ffmpeg.encode_hevc,
        baselines_ffmpeg.decode_hevc,
        partial(baselines_ffmpeg.missing, "libx265", "hevc"),
        baselines_ffmpeg.library,
    ),
    PictureCodec(
        "vvc",
        "VVC intra: VVenC medium, YCbCr 4:2:0 of 10 bits (it has no 4:4:4, which costs it above "
        "40 dB), qpa=0, raw stream and 4 bytes for the size; QP",
        (47, 43, 39, 35, 31, 27, 23, 20),
        baselines_ffmpeg.encode_vvc,
        baselines_ffmpeg.decode_vvc,
        partial(baselines_ffmpeg.missing, "libvvenc", "vvc"),
        baselines_ffmpeg.library,
    ),
)
