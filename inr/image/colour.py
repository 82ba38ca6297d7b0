"""Colour that a file tells otherwise than by an ICC profile.

PNG: chunks cICP, sRGB, gAMA and cHRM (https://www.w3.org/TR/png-3/, 11.3.2); of several the first
named here wins, and an ICC profile wins over all but cICP. AVIF: nclx; both use the numbers of
ITU-T H.273. JPEG 2000: the colr box. TIFF: its own tags. Otherwise EXIF's ColorSpace.

What a profile can say becomes a profile. What it cannot (PQ, HLG, the camera's curve of BT.709) is
named in a warning. What a file does not tell is as in sRGB: a gAMA alone has sRGB's primaries.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from inr.errors import ImageError
from inr.image.decoders import pillow_calls
from inr.image.deep import boxes_of
from inr.image.icc_profile import Curve, Primaries, grey_profile, rgb_profile
from inr.image.tiff_header import PRIMARIES, TRANSFER_FUNCTION, WHITE_POINT, TiffHeader

_D65 = (0.3127, 0.3290)
SRGB = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ADOBE_RGB = Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_SAME_XY = 0.002  # chromaticities closer than this are the same; files round theirs
_SAME_GAMMA = 0.03  # 1 / 0.45 = 2.222 is written for sRGB

_ILLUMINANT_C = (0.310, 0.316)
_BT601_525 = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_H273_PRIMARIES = {  # table 2; what a profile can say
    1: ("BT.709", SRGB),
    2: ("unspecified", SRGB),
    4: ("BT.470 M", Primaries(_ILLUMINANT_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08))),
    5: ("BT.470 BG", Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06))),
    6: ("BT.601", _BT601_525),
    7: ("SMPTE 240M", _BT601_525),
    9: ("BT.2020", Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    11: ("DCI-P3", Primaries((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
    12: ("Display P3", Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
_H273_CURVES = {  # table 3; None: no parametric curve, or one that says what the camera did
    1: ("BT.709", None),
    2: ("unspecified", SRGB_CURVE),
    4: ("gamma 2.2", Curve(2.2)),
    5: ("gamma 2.8", Curve(2.8)),
    6: ("BT.601", None),
    8: ("linear", Curve(1.0)),
    13: ("sRGB", SRGB_CURVE),
    14: ("BT.2020", None),
    15: ("BT.2020", None),
    16: ("PQ", None),
    18: ("HLG", None),
}
_MAX_CHUNKS = 10_000  # looked at, before the pixels
_JP2_SPACES = {16: "sRGB", 17: "grey", 18: "sYCC"}


@dataclass(frozen=True)
class ToldColour:
    """What a file says; None where a profile cannot say it."""

    name: str  # for warnings
    primaries: Primaries | None
    curve: Curve | None
    beats_profile: bool = False  # an ICC profile beside it should give way

    @property
    def is_srgb(self) -> bool:
        if self.primaries is None or self.curve is None:
            return False
        is_near = all(
            abs(a - b) < _SAME_XY
            for ours, theirs in (
                (SRGB.white, self.primaries.white),
                (SRGB.red, self.primaries.red),
                (SRGB.green, self.primaries.green),
                (SRGB.blue, self.primaries.blue),
            )
            for a, b in zip(ours, theirs, strict=True)
        )
        curve = self.curve
        return is_near and (
            curve == SRGB_CURVE or (curve.is_power and abs(curve.gamma - 2.2) < _SAME_GAMMA)
        )


def profile_for(told: ToldColour | None, n_channels: int, notes: list[str]) -> bytes | None:
    """Make a profile of what is told; a note says what cannot be kept, sRGB needs neither."""
    if told is None or told.is_srgb:
        return None
    try:
        if told.curve is not None and n_channels <= 2:
            is_srgb = replace(told, primaries=SRGB).is_srgb  # grey has no primaries
            return None if is_srgb else grey_profile(told.curve)
        if told.curve is not None and told.primaries is not None:
            return rgb_profile(told.primaries, told.curve)
        reason = "no ICC profile can be made of it"
    except ValueError as error:
        reason = str(error)
    notes.append(f"colour told by {told.name} is dropped: {reason}")
    return None


def told_colour(image: Image.Image, head: bytes) -> ToldColour | None:
    """What a picture says of its colours besides an ICC profile, None if nothing.

    Args:
      image: opened by Pillow.
      head: the first bytes of its file, as many as are at hand.
    """
    told = None
    if image.format == "PNG":
        told = _told_by_png(image, head)
    elif image.format == "AVIF":
        told = _told_by_avif(head)
    elif image.format == "JPEG2000":
        told = _told_by_jp2(head)
    return told if told is not None else _told_by_exif(image)


def profile_of_jp2(head: bytes) -> bytes | None:
    """The ICC profile of a JP2 file, which Pillow does not give."""
    for kind, body in boxes_of(head, b"jp2h"):
        if kind == b"colr" and body[:1] in (b"\x02", b"\x03"):  # restricted, any
            return body[3:] or None
    return None


def told_by_tiff(header: TiffHeader) -> ToldColour | None:
    """TransferFunction, WhitePoint and PrimaryChromaticities."""
    tags = header.tags
    if TRANSFER_FUNCTION in tags:
        return ToldColour("the TIFF tag TransferFunction", None, None)

    def values(tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
        if tag not in tags or len(tags[tag]) != 2 * len(default):
            return default
        top, bottom = tags[tag][::2].astype(float), tags[tag][1::2].astype(float)
        return tuple((top / np.maximum(bottom, 1)).tolist())

    white = values(WHITE_POINT, SRGB.white)
    colours = values(PRIMARIES, (*SRGB.red, *SRGB.green, *SRGB.blue))
    name = "the TIFF tags WhitePoint and PrimaryChromaticities"
    is_srgb = ToldColour(name, _primaries(*white, *colours), SRGB_CURVE).is_srgb
    return None if is_srgb else ToldColour(name, None, None)  # no curve comes with them


def _primaries(*xy: float) -> Primaries:
    return Primaries((xy[0], xy[1]), (xy[2], xy[3]), (xy[4], xy[5]), (xy[6], xy[7]))


def _told_by_png(image: Image.Image, head: bytes) -> ToldColour | None:
    cicp = _png_chunk(head, b"cICP")
    if cicp is not None and len(cicp) == 4:
        primaries, curve, _, is_full_range = cicp
        told = _told_by_h273("the PNG chunk cICP", primaries, curve)
        if is_full_range:
            return replace(told, beats_profile=True)
        return ToldColour(f"{told.name}, narrow range", None, None, beats_profile=True)
    info = image.info
    if "srgb" in info:
        return ToldColour("the PNG chunk sRGB", SRGB, SRGB_CURVE)
    gamma, xy = info.get("gamma"), info.get("chromaticity")
    if not gamma and not (isinstance(xy, tuple) and len(xy) == 8):  # a gAMA of 0 says nothing
        return None
    name, primaries_, curve_ = [], SRGB, SRGB_CURVE
    if gamma:
        name.append("gAMA")
        curve_ = Curve(1 / float(gamma))
    if isinstance(xy, tuple) and len(xy) == 8:
        name.append("cHRM")
        primaries_ = _primaries(*map(float, xy))
    return ToldColour(f"PNG {' and '.join(name)}", primaries_, curve_)


def _png_chunk(head: bytes, wanted: bytes) -> bytes | None:
    """The content of a chunk that stands before the pixels."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(head):
            return None
        size, kind = struct.unpack_from(">I4s", head, at)
        if kind == wanted:
            return head[at + 8 : at + 8 + size]
        if kind == b"IDAT":
            return None
        at += 12 + size
    return None


def _told_by_avif(head: bytes) -> ToldColour | None:
    for kind, body in boxes_of(head, b"meta", b"iprp", b"ipco"):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, curve = struct.unpack_from(">HH", body, 4)
            if (primaries, curve) == (2, 2):
                return None
            return _told_by_h273("AVIF's nclx", primaries, curve)
    return None


def _told_by_h273(name: str, primaries: int, curve: int) -> ToldColour:
    primaries_name, xy = _H273_PRIMARIES.get(primaries, (f"number {primaries}", None))
    curve_name, parametric = _H273_CURVES.get(curve, (f"number {curve}", None))
    return ToldColour(f"{name} ({primaries_name} primaries, {curve_name} curve)", xy, parametric)


def _told_by_jp2(head: bytes) -> ToldColour | None:
    for kind, body in boxes_of(head, b"jp2h"):
        if kind == b"colr" and body[:1] == b"\x01" and len(body) >= 7:
            number = struct.unpack_from(">I", body, 3)[0]
            if number in _JP2_SPACES or number == 12:  # CMYK becomes RGB by Pillow
                return None
            return ToldColour(f"the JPEG 2000 colour space {number}", None, None)
    return None


def _told_by_exif(image: Image.Image) -> ToldColour | None:
    try:
        with pillow_calls():
            exif = image.getexif()
            space = exif.get_ifd(0x8769).get(0xA001)
            interoperability = exif.get_ifd(0xA005).get(1) if space is not None else None
    except ImageError:  # damaged: who reads the orientation says so
        return None
    if space == 2 or (space == 65535 and str(interoperability).startswith("R03")):
        return ToldColour("EXIF (Adobe RGB)", _ADOBE_RGB, Curve(563 / 256))
    if space == 65535:
        return ToldColour("EXIF (uncalibrated colours)", None, None)
    return None
