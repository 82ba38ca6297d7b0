"""ICC profiles made of primaries and a curve: how a file's own words on colour are kept.

ICC.1:2010 (profile version 4.3): 7.2 header, 8.3 display profiles, 10.18 parametricCurveType.
Chromatic adaptation to the white of the profile connection space is Bradford's (annex E).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of the profile connection space
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_CREATED_AT = (2025, 1, 1, 0, 0, 0)  # a constant: the same colours make the same bytes
_DESCRIPTION = "colours of the file"
_COPYRIGHT = "CC0"


@dataclass(frozen=True)
class Curve:
    """From a sample x in 0..1 to light: (a * x + b)**gamma from x = d on, c * x below."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0

    @property
    def is_power(self) -> bool:
        return (self.a, self.b, self.d) == (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Primaries:
    """CIE 1931 chromaticities x, y."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


def rgb_profile(primaries: Primaries, curve: Curve) -> bytes:
    """Write a display profile for RGB.

    Raises:
      ValueError: colours of which no picture can be made, as primaries on a line.
    """
    white = _xyz(primaries.white)
    directions = np.stack([_xyz(primaries.red), _xyz(primaries.green), _xyz(primaries.blue)], -1)
    if abs(np.linalg.det(directions)) < 1e-6:
        raise ValueError("the primaries lie on a line")
    to_d50 = _adaptation(white)
    colorants = to_d50 @ (directions * np.linalg.solve(directions, white))  # columns r, g, b
    if np.abs(colorants).max() > 4:
        raise ValueError("the primaries do not span the white")
    trc = _para(curve)
    return _profile(
        b"RGB ",
        {
            b"chad": b"sf32" + _repair(0, *to_d50.ravel()),
            **{name: b"XYZ " + _repair(0, *colorants[:, i])
               for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc),
        },
    )  # fmt: skip


def grey_profile(curve: Curve) -> bytes:
    """Write a display profile for grey; raises ValueError as rgb_profile does."""
    return _profile(b"GRAY", {b"kTRC": _para(curve)})


def _xyz(xy: tuple[float, float]) -> np.ndarray:
    x, y = xy
    if not (0 <= x <= 1 and 0 < y <= 1):
        raise ValueError(f"a primary at x={x:g}, y={y:g} is no colour")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: np.ndarray) -> np.ndarray:
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    if not (0.1 < scale.min() and scale.max() < 10):
        raise ValueError("the white is no white")
    adaptation: np.ndarray = np.linalg.inv(_BRADFORD) @ (scale[:, None] * _BRADFORD)
    return adaptation


def _para(curve: Curve) -> bytes:
    if not 0.01 <= curve.gamma <= 100:
        raise ValueError(f"a gamma of {curve.gamma:g} is outside 0.01..100")
    if curve.is_power:
        return b"para" + struct.pack(">IHH", 0, 0, 0) + _repair(curve.gamma)
    numbers = _repair(curve.gamma, curve.a, curve.b, curve.c, curve.d)
    return b"para" + struct.pack(">IHH", 0, 3, 0) + numbers


def _repair(*values: float) -> bytes:
    """s15Fixed16Number, big-endian."""
    numbers = np.rint(np.array(values) * 65536).astype(">i4")
    return bytes(numbers.tobytes())


def _text(text: str) -> bytes:
    body = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(body), 28) + body


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = b"XYZ " + _repair(0, *_D50)
    tags = {b"desc": _text(_DESCRIPTION), b"cprt": _text(_COPYRIGHT), b"wtpt": white} | tags
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}  # equal values are stored once
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, places[value], len(value))
    header = struct.pack(
        ">II4s4s4s4s6H4s",
        start + len(body), 0, b"\x04\x30\0\0", b"mntr", space, b"XYZ ", *_CREATED_AT, b"acsp",
    )  # fmt: skip
    # Platform, flags, maker, model, attributes, intent (perceptual): 28 bytes of zeros.
    header += bytes(28) + _repair(*_D50)
    return header + bytes(128 - len(header)) + table + body
