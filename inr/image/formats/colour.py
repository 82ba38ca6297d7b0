"""Colour that a file states: its ICC profile, or else a profile made of its other words.

PNG: chunks cICP, sRGB, gAMA and cHRM (https://www.w3.org/TR/png-3/, 11.3.2); of several the first
named here wins, and an ICC profile wins over all but cICP. AVIF: nclx; both use the numbers of
ITU-T H.273. JPEG 2000: the colr box. TIFF: its own tags. Otherwise EXIF's ColorSpace.

What a profile can say becomes a profile. What it cannot (PQ, HLG, the camera's curve of BT.709) is
named in a warning. What a file does not state is as in sRGB: a gAMA alone has sRGB's primaries.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from inr.errors import ImageError
from inr.image.formats.decoders import decoder_errors
from inr.image.formats.icc_profile import Curve, Primaries, grey_profile, rgb_profile
from inr.image.formats.sixteen_bit import boxes_of, png_chunks
from inr.image.formats.tiff_header import PRIMARIES, TRANSFER_FUNCTION, WHITE_POINT, TiffHeader

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
_JP2_SPACES = {16: "sRGB", 17: "grey", 18: "sYCC"}


@dataclass(frozen=True)
class StatedColour:
    """What a file states; None where a profile cannot say it."""

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


def read_profile(image: Image.Image, head: bytes) -> bytes | None:
    """Take the ICC profile of an image that Pillow opened; it does not give that of a JP2 file."""
    if image.format != "JPEG2000":
        return image.info.get("icc_profile") or None
    for kind, body in boxes_of(head, b"jp2h"):
        if kind == b"colr" and body[:1] in (b"\x02", b"\x03"):  # restricted, any
            return body[3:] or None
    return None


def choose_profile(
    icc_profile: bytes | None, stated: StatedColour | None, n_channels: int, notes: list[str]
) -> bytes | None:
    """Choose between the profile of a file and what else it states; notes say what is dropped."""
    profile = _check_profile(icc_profile, n_channels, notes)
    if profile is None:
        return _make_profile(stated, n_channels, notes)
    if stated is not None and stated.beats_profile:
        notes.append(f"colour of {stated.name} is dropped: the ICC profile beside it is kept")
    return profile


def _check_profile(icc_profile: bytes | None, n_channels: int, notes: list[str]) -> bytes | None:
    """Return the profile if it is whole and describes so many channels."""
    if icc_profile is None:
        return None
    from PIL import ImageCms

    try:
        space = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)).profile.xcolor_space.strip()
    except Exception:  # OSError for most damage; the parser promises nothing
        notes.append("colour profile is damaged and is dropped")
        return None
    expected = "GRAY" if n_channels <= 2 else "RGB"
    if space != expected:
        notes.append(f"colour profile is for {space}, the pixels are {expected}; it is dropped")
        return None
    return icc_profile


def _make_profile(stated: StatedColour | None, n_channels: int, notes: list[str]) -> bytes | None:
    """Make a profile of what is stated; a note says what cannot be kept, sRGB needs neither."""
    if stated is None or stated.is_srgb:
        return None
    try:
        if stated.curve is not None and n_channels <= 2:
            is_srgb = replace(stated, primaries=SRGB).is_srgb  # grey has no primaries
            return None if is_srgb else grey_profile(stated.curve)
        if stated.curve is not None and stated.primaries is not None:
            return rgb_profile(stated.primaries, stated.curve)
        reason = "no ICC profile can be made of it"
    except ValueError as error:
        reason = str(error)
    notes.append(f"colour of {stated.name} is dropped: {reason}")
    return None


def read_colour(image: Image.Image, head: bytes) -> StatedColour | None:
    """Read what a picture states of its colours besides an ICC profile, None if nothing.

    Args:
      image: opened by Pillow.
      head: the first bytes of its file, as many as are at hand.
    """
    stated = None
    if image.format == "PNG":
        stated = _read_png(image, head)
    elif image.format == "AVIF":
        stated = _read_avif(head)
    elif image.format == "JPEG2000":
        stated = _read_jp2(head)
    return stated if stated is not None else _read_exif(image)


def read_tiff_colour(header: TiffHeader) -> StatedColour | None:
    """Read TransferFunction, WhitePoint and PrimaryChromaticities."""
    tags = header.tags
    if TRANSFER_FUNCTION in tags:
        return StatedColour("the TIFF tag TransferFunction", None, None)

    def values(tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
        if tag not in tags or len(tags[tag]) != 2 * len(default):
            return default
        top, bottom = tags[tag][::2].astype(float), tags[tag][1::2].astype(float)
        return tuple((top / np.maximum(bottom, 1)).tolist())

    white = values(WHITE_POINT, SRGB.white)
    colours = values(PRIMARIES, (*SRGB.red, *SRGB.green, *SRGB.blue))
    name = "the TIFF tags WhitePoint and PrimaryChromaticities"
    is_srgb = StatedColour(name, _primaries(*white, *colours), SRGB_CURVE).is_srgb
    return None if is_srgb else StatedColour(name, None, None)  # no curve comes with them


def _primaries(*xy: float) -> Primaries:
    return Primaries((xy[0], xy[1]), (xy[2], xy[3]), (xy[4], xy[5]), (xy[6], xy[7]))


def _read_png(image: Image.Image, head: bytes) -> StatedColour | None:
    cicp = _png_chunk(head, b"cICP")
    if cicp is not None and len(cicp) == 4:
        primaries, curve, _, is_full_range = cicp
        stated = _read_h273("the PNG chunk cICP", primaries, curve)
        if is_full_range:
            return replace(stated, beats_profile=True)
        return StatedColour(f"{stated.name}, narrow range", None, None, beats_profile=True)
    info = image.info
    if "srgb" in info:
        return StatedColour("the PNG chunk sRGB", SRGB, SRGB_CURVE)
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
    return StatedColour(f"PNG {' and '.join(name)}", primaries_, curve_)


def _png_chunk(head: bytes, wanted: bytes) -> bytes | None:
    """Find the content of a chunk that stands before the pixels."""
    for kind, at, size in png_chunks(head):
        if kind == wanted:
            return head[at + 8 : at + 8 + size]
        if kind == b"IDAT":
            return None
    return None


def _read_avif(head: bytes) -> StatedColour | None:
    for kind, body in boxes_of(head, b"meta", b"iprp", b"ipco"):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            primaries, curve = struct.unpack_from(">HH", body, 4)
            if (primaries, curve) == (2, 2):
                return None
            return _read_h273("AVIF's nclx", primaries, curve)
    return None


def _read_h273(name: str, primaries: int, curve: int) -> StatedColour:
    primaries_name, xy = _H273_PRIMARIES.get(primaries, (f"number {primaries}", None))
    curve_name, parametric = _H273_CURVES.get(curve, (f"number {curve}", None))
    return StatedColour(f"{name} ({primaries_name} primaries, {curve_name} curve)", xy, parametric)


def _read_jp2(head: bytes) -> StatedColour | None:
    for kind, body in boxes_of(head, b"jp2h"):
        if kind == b"colr" and body[:1] == b"\x01" and len(body) >= 7:
            number = struct.unpack_from(">I", body, 3)[0]
            if number in _JP2_SPACES or number == 12:  # CMYK becomes RGB by Pillow
                return None
            return StatedColour(f"the JPEG 2000 colour space {number}", None, None)
    return None


def _read_exif(image: Image.Image) -> StatedColour | None:
    try:
        with decoder_errors():
            exif = image.getexif()
            space = exif.get_ifd(0x8769).get(0xA001)
            interoperability = exif.get_ifd(0xA005).get(1) if space is not None else None
    except ImageError:  # damaged: who reads the orientation says so
        return None
    if space == 2 or (space == 65535 and str(interoperability).startswith("R03")):
        return StatedColour("EXIF (Adobe RGB)", _ADOBE_RGB, Curve(563 / 256))
    if space == 65535:
        return StatedColour("EXIF (uncalibrated colours)", None, None)
    return None
