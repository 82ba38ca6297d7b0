"""From samples as stored to a picture as shown: upright, without needless alpha, with a profile."""

from __future__ import annotations

import io

import numpy as np

from inr.image.colour import ToldColour, profile_for
from inr.image.picture import Picture


def finish(
    pixels: np.ndarray,
    orientation: object,
    icc_profile: bytes | None,
    told: ToldColour | None,
    notes: list[str],
) -> Picture:
    """Turn upright, drop alpha that is opaque everywhere, and choose the profile."""
    pixels = _upright(pixels, orientation)
    n_channels = pixels.shape[2]
    if n_channels in (2, 4) and pixels[..., -1].min() == np.iinfo(pixels.dtype).max:
        pixels = pixels[..., :-1]
    profile = _fitting_profile(icc_profile, n_channels, notes)
    if profile is None:
        profile = profile_for(told, n_channels, notes)
    elif told is not None and told.beats_profile:
        notes.append(f"colour told by {told.name} is dropped: the ICC profile beside it is kept")
    return Picture(np.ascontiguousarray(pixels), profile)


def _upright(pixels: np.ndarray, orientation: object) -> np.ndarray:
    """Apply an EXIF orientation; 1 and values outside 1..8 mean upright."""
    if orientation == 2:
        return pixels[:, ::-1]
    if orientation == 3:
        return pixels[::-1, ::-1]
    if orientation == 4:
        return pixels[::-1]
    if orientation == 5:
        return pixels.transpose(1, 0, 2)
    if orientation == 6:
        return np.rot90(pixels, -1)
    if orientation == 7:
        return pixels[::-1, ::-1].transpose(1, 0, 2)
    if orientation == 8:
        return np.rot90(pixels)
    return pixels


def _fitting_profile(icc_profile: bytes | None, n_channels: int, notes: list[str]) -> bytes | None:
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
