"""The alpha channel of a cae file, without loss.

the section   one zstd frame of the plane's differences, u8[height, width]: of each sample, what
              it exceeds left + above - above left by, modulo 256; samples outside count 0
"""

import numpy as np
import zstandard
from numpy.typing import NDArray

from inr.errors import FormatError

_LEVEL = 19


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """The section for u8[height, width]; the inverse of `decode_alpha`."""
    padded = np.pad(alpha, ((1, 0), (1, 0)))
    differences = np.diff(np.diff(padded, axis=0), axis=1)  # modulo 256, as uint8 is
    return zstandard.ZstdCompressor(level=_LEVEL).compress(differences.tobytes())


def decode_alpha(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """u8[height, width]; FormatError where data is not of that size."""
    n = height * width
    try:
        plain = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
        differences = plain.decompress(data) if _claimed(data) == n else b""
    except zstandard.ZstdError as error:
        raise FormatError(f"the alpha channel is damaged: {error}") from error
    if len(differences) != n or plain.unused_data or not plain.eof:
        raise FormatError(
            f"the alpha channel is damaged: it does not hold {width}x{height} samples"
        )
    made = np.frombuffer(differences, np.uint8).reshape(height, width)
    return np.cumsum(np.cumsum(made, axis=0, dtype=np.uint8), axis=1, dtype=np.uint8)


def _claimed(data: bytes) -> int:
    """Bytes that the frame says it holds, before memory is taken for them."""
    return int(zstandard.get_frame_parameters(data).content_size)
