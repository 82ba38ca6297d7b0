"""A picture in memory, between the files people have and the codecs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inr.image.region import Size

# Orthonormal axes of RGB: brightness, then two of colour.
COLOUR_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@dataclass(frozen=True)
class Picture:
    """Pixels as they are shown, upright, with the colour profile that describes them."""

    pixels: np.ndarray  # uint8 or uint16 [height, width, n_channels]; 1 L, 2 LA, 3 RGB, 4 RGBA
    icc_profile: bytes | None = None

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def n_channels(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def bit_depth(self) -> int:
        return 8 * self.pixels.dtype.itemsize

    @property
    def size(self) -> Size:
        return Size(self.height, self.width)

    @property
    def n_pixels(self) -> int:
        return self.size.n_pixels

    @property
    def has_alpha(self) -> bool:
        return self.n_channels in (2, 4)

    @property
    def is_one_colour(self) -> bool:
        """All pixels are alike."""
        return all(low == high for low, high in self.ranges())

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the lowest and the highest sample of each channel."""
        samples = self.pixels.reshape(-1, self.n_channels)
        return tuple(zip(samples.min(0).tolist(), samples.max(0).tolist(), strict=True))

    def round_to_8_bits(self) -> Picture:
        """Return the picture with samples of 8 bits, each the nearest; itself if it has them."""
        if self.bit_depth == 8:
            return self
        # v * 255 / 65535 = v / 257, to the nearest; 257 is odd, so there are no ties.
        pixels = ((self.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return Picture(pixels, self.icc_profile)
