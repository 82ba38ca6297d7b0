"""Stores a picture as a small function fitted to it, and draws that function at any size.

    data = inr.encode(image, inr.recipes.siren(), seed=0)
    pixels = inr.decode(data, scale=2.0)

After `import inr`, Pillow opens .inr files: `Image.open("photo.inr")`. The names listed here are
what others may rely on; all else may change from one version to the next.
"""

from inr import pillow_plugin, recipes
from inr.codec import decode, decode_picture, describe, encode, encode_picture
from inr.errors import FitError, FormatError, ImageError, InrError, UsageError
from inr.image.metrics import bpp, ms_ssim, psnr_db
from inr.image.picture import Picture
from inr.image.read import load as read_picture
from inr.image.region import Region
from inr.image.write import save as write_picture
from inr.options import DecodeOptions, EncodeOptions, EncodeResult, Progress, Target
from inr.studies.bd_rate import bd_rate

__all__ = [
    "DecodeOptions",
    "EncodeOptions",
    "EncodeResult",
    "FitError",
    "FormatError",
    "ImageError",
    "InrError",
    "Picture",
    "Progress",
    "Region",
    "Target",
    "UsageError",
    "bd_rate",
    "bpp",
    "decode",
    "decode_picture",
    "describe",
    "encode",
    "encode_picture",
    "ms_ssim",
    "psnr_db",
    "read_picture",
    "recipes",
    "write_picture",
]

pillow_plugin.register()
