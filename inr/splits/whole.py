"""No split: the picture is one band."""

from dataclasses import dataclass
from typing import ClassVar

from inr.container import Wire


@dataclass(frozen=True)
class Whole:
    """One field draws the whole picture."""

    WIRE: ClassVar[Wire] = ()
