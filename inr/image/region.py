"""Sizes and parts of pictures, and the one check of a part against a size."""

from dataclasses import dataclass
from typing import NamedTuple, Self

from inr.errors import UsageError


class Size(NamedTuple):
    """Rows and columns of a picture, in pixels."""

    height: int
    width: int

    @property
    def n_pixels(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def whole(cls, size: Size) -> Self:
        """Return the region that is all of a picture."""
        return cls(0, 0, size.width, size.height)

    @property
    def n_pixels(self) -> int:
        return self.height * self.width

    def check_inside(self, size: Size) -> None:
        """Refuse a region that is empty or reaches beyond the picture; raises UsageError."""
        fits = 0 <= self.x and self.x + self.width <= size.width
        fits &= 0 <= self.y and self.y + self.height <= size.height
        if not fits or self.width < 1 or self.height < 1:
            raise UsageError(
                f"region {self.x},{self.y},{self.width},{self.height} (x,y,width,height) does not "
                f"lie inside the picture of {size.width}x{size.height} pixels"
            )
