"""Draws the picture of a file whose fields hold bands: inverted at its own size, then resampled.

Bands have no meaning between their own positions, so other sizes come from the picture of native
size by cubic interpolation (resample.py), not from the fields.
"""

import numpy as np

from inr.image.resample import resample
from inr.mlp.decode import Region, draw_signal
from inr.mlp.file import Opened, read_weights


def render_bands(opened: Opened, *, height: int, width: int, region: Region) -> np.ndarray:
    """u8 or u16 [region height, region width, n_channels]; raises FormatError.

    height, width: of the whole output, of which region is a part.
    """
    header, split, field_set = opened.header, opened.stages.split, opened.field_set
    params, peaks = read_weights(opened), opened.band_peaks()
    grids = split.grids(header.height, header.width, header.n_channels)
    bands = []
    for i, (grid, part) in enumerate(zip(grids, field_set.parts, strict=True)):
        signal = draw_signal(
            part.field,
            field_set.params_of(params, i),
            part.n_channels,
            height=grid.height,
            width=grid.width,
        )
        with np.errstate(all="ignore"):  # a damaged network may overflow
            bands.append(np.nan_to_num(signal.astype(np.float64) * np.array(peaks[i])))
    with np.errstate(all="ignore"):
        samples = split.inverse(bands, header.height, header.width) * header.peak
        samples = np.nan_to_num(samples)
        if (height, width) != (header.height, header.width) or region != Region(
            0, 0, width, height
        ):
            samples = resample(samples, height, width, region)
    low, high = np.array(header.ranges, np.float64).T
    dtype = np.uint8 if header.bit_depth == 8 else np.uint16
    pixels: np.ndarray = np.clip(np.rint(samples), low, high).astype(dtype)
    return pixels
