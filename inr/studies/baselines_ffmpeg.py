"""HEVC and VVC as still-picture codecs: one intra frame through ffmpeg.

ffmpeg comes with imageio-ffmpeg (extra `bench`) and runs as a process of its own: it is under the
GPL and no part of inr. Colours are transformed here, YCbCr of BT.601 over the full range, because
ffmpeg's own conversion rounds once more. Planes go in and out as they are coded.

File: height and width (<u2 each), then the raw stream of the picture, padded to even sides of at
least 64 by repeating its last row and column. The four bytes count.
"""

import struct
import subprocess

import numpy as np
from numpy.typing import NDArray

from inr.errors import CodecError, UsageError

Pixels = NDArray[np.uint8]  # [h, w, 3] RGB
Plane = NDArray[np.float64]  # [h, w]

_SIZE = struct.Struct("<HH")  # height, width
_MIN_SIDE = 64  # both refuse less than 16; ffmpeg leaves VVenC a byte a pixel, headers included
_KR, _KG, _KB = 0.299, 0.587, 0.114  # BT.601
_TO_YCBCR = np.array(
    [
        [_KR, _KG, _KB],
        [-_KR / (2 - 2 * _KB), -_KG / (2 - 2 * _KB), 0.5],
        [0.5, -_KG / (2 - 2 * _KR), -_KB / (2 - 2 * _KR)],
    ]
)
_TO_RGB = np.linalg.inv(_TO_YCBCR)
_HEVC_OPTIONS = (
    "log-level=error:keyint=1:psy-rd=0:psy-rdoq=0:aq-mode=0"
    ":info=0"  # else a kilobyte of text about the encoder is in the stream
)


def missing(encoder: str, decoder: str) -> str | None:
    """Why ffmpeg cannot code here with the given encoder and decoder; None where it can."""
    try:
        path = _ffmpeg()
        for kind, name in (("encoders", encoder), ("decoders", decoder)):
            listed = subprocess.run(
                [path, "-hide_banner", f"-{kind}"], capture_output=True, text=True, check=False
            )
            lines = [line.split() for line in listed.stdout.splitlines()]
            if name not in [words[1] for words in lines if len(words) > 1]:
                return f"{path} has no {name}; pip install 'imageio-ffmpeg>=0.8.0'"
    except CodecError as error:
        return f"ffmpeg is not there ({error}); pip install 'inr[bench]'"
    except OSError as error:  # a program for another machine, for example
        return f"{path} does not run ({error.strerror}); pip install 'imageio-ffmpeg>=0.8.0'"
    return None


def library() -> str:
    """Name and version of ffmpeg."""
    import imageio_ffmpeg

    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"


def encode_hevc(pixels: Pixels, quality: float) -> bytes:
    """Return a file as the module docstring says.

    Args:
      pixels: u8 [h, w, 3].
      quality: x265's qp, 0..51, larger for smaller files.
    Raises:
      ValueError: a side above 65535.
      CodecError: ffmpeg failed.
    """
    planes = [_round(plane, 255, "u1") for plane in _ycbcr(_pad(pixels), 255)]
    options = ["-preset", "veryslow", "-x265-params", f"{_HEVC_OPTIONS}:qp={int(quality)}"]
    return _encode(pixels, planes, "yuv444p", "libx265", options, "hevc")


def decode_hevc(data: bytes) -> Pixels:
    """u8 [h, w, 3] of what encode_hevc made."""
    height, width = _SIZE.unpack_from(data)
    n_rows, n_cols = _padded_size(height, width)
    raw = _decode(data, "yuv444p", "hevc", n_bytes=3 * n_rows * n_cols)
    planes = np.frombuffer(raw, np.uint8).reshape(3, n_rows, n_cols)
    return _rgb(planes[0], planes[1], planes[2], 255)[:height, :width]


def encode_vvc(pixels: Pixels, quality: float) -> bytes:
    """Return a file as the module docstring says.

    Args:
      pixels: u8 [h, w, 3].
      quality: VVenC's qp, 0..63, larger for smaller files.
    Raises:
      ValueError: a side above 65535.
      CodecError: ffmpeg failed, as it does where the stream exceeds 8 bits a pixel (noise).
    """
    y, cb, cr = _ycbcr(_pad(pixels), 1023)
    planes = [_round(plane, 1023, "<u2") for plane in (y, _halve(cb), _halve(cr))]
    options = ["-preset", "medium", "-qp", str(int(quality)), "-qpa", "0"]
    return _encode(pixels, planes, "yuv420p10le", "libvvenc", options, "vvc")


def decode_vvc(data: bytes) -> Pixels:
    """u8 [h, w, 3] of what encode_vvc made."""
    height, width = _SIZE.unpack_from(data)
    n_rows, n_cols = _padded_size(height, width)
    n = n_rows * n_cols
    samples = np.frombuffer(_decode(data, "yuv420p10le", "vvc", n_bytes=3 * n), "<u2")
    cb, cr = samples[n:].reshape(2, n_rows // 2, n_cols // 2).astype(np.float64)
    return _rgb(samples[:n].reshape(n_rows, n_cols), _double(cb), _double(cr), 1023)[
        :height, :width
    ]


def _padded_size(height: int, width: int) -> tuple[int, int]:
    return max(_MIN_SIDE, height + height % 2), max(_MIN_SIDE, width + width % 2)


def _pad(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    if max(height, width) > 0xFFFF:
        raise UsageError(f"{width}x{height} pixels: sides above 65535 are more than the file holds")
    n_rows, n_cols = _padded_size(height, width)
    return np.pad(pixels, ((0, n_rows - height), (0, n_cols - width), (0, 0)), mode="edge")


def _ycbcr(pixels: Pixels, peak: int) -> tuple[Plane, Plane, Plane]:
    """Three f64 [h, w] in 0..peak, not rounded; grey has chroma (peak + 1) / 2."""
    planes = np.moveaxis(pixels @ _TO_YCBCR.T * (peak / 255), -1, 0)  # [3, h, w]
    middle = (peak + 1) / 2
    return planes[0], planes[1] + middle, planes[2] + middle


def _rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, peak: int) -> Pixels:
    """u8 [h, w, 3] of three [h, w] in 0..peak."""
    middle = (peak + 1) / 2
    ycbcr = np.stack([y, cb - middle, cr - middle], axis=-1)  # [h, w, 3]
    return np.clip(np.rint(ycbcr @ _TO_RGB.T * (255 / peak)), 0, 255).astype(np.uint8)


def _round(plane: Plane, peak: int, dtype: str) -> bytes:
    return np.clip(np.rint(plane), 0, peak).astype(dtype).tobytes()


def _halve(plane: Plane) -> Plane:
    """Means over 2 x 2: chroma in the middle of four pixels, as in JPEG."""
    return (plane[0::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 0::2] + plane[1::2, 1::2]) / 4


def _double(plane: Plane) -> Plane:
    """Linear between the centres that _halve has taken: 3/4 of the near one, 1/4 of the far."""
    for _ in range(2):  # down the rows, then the transpose
        before = np.concatenate([plane[:1], plane[:-1]])
        after = np.concatenate([plane[1:], plane[-1:]])
        out = np.empty((2 * plane.shape[0], plane.shape[1]))
        out[0::2], out[1::2] = (3 * plane + before) / 4, (3 * plane + after) / 4
        plane = out.T
    return plane


def _encode(
    pixels: Pixels, planes: list[bytes], layout: str, encoder: str, options: list[str], form: str
) -> bytes:
    height, width = pixels.shape[:2]
    n_rows, n_cols = _padded_size(height, width)
    source = ["-f", "rawvideo", "-pix_fmt", layout, "-s", f"{n_cols}x{n_rows}", "-i", "-"]
    target = ["-c:v", encoder, *options, "-f", form, "-"]
    return _SIZE.pack(height, width) + _run([*source, *target], b"".join(planes))


def _decode(data: bytes, layout: str, form: str, *, n_bytes: int) -> bytes:
    """Return the planes of the one frame in a file."""
    options = ["-f", form, "-i", "-", "-f", "rawvideo", "-pix_fmt", layout, "-"]
    raw = _run(options, data[_SIZE.size :])
    if len(raw) != n_bytes:
        raise CodecError(f"ffmpeg decoded {len(raw)} bytes of {layout}, expected {n_bytes}")
    return raw


def _run(options: list[str], data: bytes) -> bytes:
    command = [_ffmpeg(), "-hide_banner", "-loglevel", "error", *options]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CodecError(f"ffmpeg {' '.join(options)}: {said[0]}")
    return done.stdout


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise CodecError(str(error)) from error
