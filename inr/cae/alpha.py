"""The alpha channel of a cae file, without loss.

the section   one zstd frame, as coders/zstd.py writes it, of the plane's differences,
              u8[height, width]: of each sample, what it exceeds left + above - above left by,
              modulo 256; samples outside count 0
"""

import numpy as np
from numpy.typing import NDArray

from inr.coders.zstd import DEFAULT_LEVEL, pack_frame, unpack_frame
from inr.errors import FormatError


def encode_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Return the section for u8[height, width]; the inverse of `decode_alpha`."""
    padded = np.pad(alpha, ((1, 0), (1, 0)))
    differences = np.diff(np.diff(padded, axis=0), axis=1)  # modulo 256, as uint8 is
    return pack_frame([differences.tobytes()], DEFAULT_LEVEL)


def decode_alpha(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """u8[height, width]; FormatError where data is not of that size."""
    try:
        differences = unpack_frame(data, height * width)
    except FormatError as error:
        raise FormatError(f"the alpha channel is damaged: {error}") from error
    made = np.frombuffer(differences, np.uint8).reshape(height, width)
    return np.cumsum(np.cumsum(made, axis=0, dtype=np.uint8), axis=1, dtype=np.uint8)
