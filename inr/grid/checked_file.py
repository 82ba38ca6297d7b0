"""Pictures as kind grid takes them, and files that are read back before they are handed on."""

import numpy as np

from inr.errors import FitError, FormatError
from inr.format.checksum import pixels_crc
from inr.format.container import pack_icc, unpack
from inr.grid.decode import render_content
from inr.grid.file import check_sides, read_content, write_grid
from inr.grid.network_coding import CodedNetworks
from inr.grid.prior import rate_of
from inr.grid.recipe import GridRecipe
from inr.grid.structure import Pyramid
from inr.grid.synthesis import synthesize
from inr.image.picture import Picture
from inr.image.region import Region


def pyramid_of(picture: Picture, recipe: GridRecipe) -> Pyramid:
    """Return the pyramid of a picture at the recipe's lambda; UsageError where no grid file can
    hold the picture."""
    check_sides(picture.height, picture.width)
    if picture.icc_profile is not None:
        pack_icc(picture.icc_profile)  # finds out before the fit that it is too long
    pyramid = Pyramid(picture.height, picture.width, picture.n_channels, recipe.structure)
    return pyramid.at_rate(rate_of(recipe.lambda_))


def samples_of(picture: Picture) -> np.ndarray:
    """f32[n_channels, height, width] in 0..1."""
    peak = np.float32((1 << picture.bit_depth) - 1)
    return picture.pixels.transpose(2, 0, 1).astype(np.float32) / peak


def write_checked(
    picture: Picture, pyramid: Pyramid, coded: CodedNetworks, latents: list[np.ndarray]
) -> tuple[bytes, np.ndarray]:
    """Write the file, and read it back.

    Args:
      latents: int32[h, w] of each level.
    Returns:
      The file and the pixels that it draws.
    Raises:
      FitError: networks that no file can hold, or a file that does not give the picture back.
    """
    size = picture.size
    try:
        drawn = synthesize(latents, coded.values(pyramid), pyramid, picture.bit_depth)
        data = write_grid(
            pyramid=pyramid,
            bit_depth=picture.bit_depth,
            coded=coded,
            latents=latents,
            crc=pixels_crc(drawn),
            icc_profile=picture.icc_profile,
        )
        decoded = render_content(read_content(*unpack(data)), size, Region.whole(size))
    except FormatError as error:
        raise FitError(
            f"the fit ended in what no file can hold ({error}); give another seed or a lower "
            "fit.learning_rate"
        ) from error
    if not np.array_equal(drawn, decoded):
        raise FitError("the file does not give back the picture it was made of; please report this")
    return data, decoded
