"""Stores a picture as a small function fitted to it, and draws that function at any size.

    data = inr.encode(image, inr.recipes.siren(), seed=0)
    pixels = inr.decode(data, scale=2.0)

After `import inr`, Pillow opens .inr files: `Image.open("photo.inr")`.
"""

from inr import pillow_plugin, recipes
from inr.codec import decode, encode
from inr.errors import FitError, FormatError, ImageError, InrError, UsageError

__all__ = [
    "FitError",
    "FormatError",
    "ImageError",
    "InrError",
    "UsageError",
    "decode",
    "encode",
    "recipes",
]

pillow_plugin.register()
