"""Pages of text as screens show them, drawn with the typefaces that Pillow brings: for trainings
of kind grid, whose photographs hold too few of them."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Frequent letters oftener, as in prose.
_LETTERS = np.array(list("eeeettaaooiinnsshhrrddllccumwfgypbvkjxqzETAOISCMPBW0123456789.,;'-"))
_MARKS = np.array(list("(){}[]=+-*/<>:;.,_\"'#&|!"))


def render_pages(n: int, side: int, seed: int) -> Iterator[np.ndarray]:
    """Yield u8[3, side, side] of n pages, the same for the same seed and Pillow."""
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        yield np.asarray(_page(side, rng)).transpose(2, 0, 1)


def _page(side: int, rng: np.random.Generator) -> Image.Image:
    """Draw prose, code or tables, dark on light or light on dark, and sometimes a panel."""
    is_dark, is_code = rng.random() < 0.5, rng.random() < 0.5
    paper = _colour(rng, (10, 60) if is_dark else (235, 256), spread=12)
    if rng.random() < 0.4:
        paper = (20, 20, 20) if is_dark else (255, 255, 255)
    image = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 4))):
        left, top = (int(at) for at in rng.integers(-20, side, 2))
        size = rng.integers(8, side, 2)
        box = (left, top, left + int(size[0]), top + int(size[1]))
        outline = _colour(rng, (0, 256)) if rng.random() < 0.4 else None
        draw.rectangle(box, _colour(rng, (10, 90) if is_dark else (200, 256), 30), outline)
    inks = [_colour(rng, (150, 256) if is_dark else (0, 110), 90 if is_code else 4)]
    inks += [_colour(rng, (120, 256) if is_dark else (0, 150), 110) for _ in range(4)]
    top, left = int(rng.integers(-8, 8)), int(rng.integers(-40, 24))
    font, size = _font(rng)
    leading = round(size * rng.uniform(1.15, 1.7))
    while top < side:
        if not is_code and rng.random() < 0.06:  # a heading
            font, size = _font(rng)
            leading = round(size * rng.uniform(1.15, 1.7))
        x = left + (int(rng.integers(0, 5)) * 2 * size if is_code else 0)
        is_short = rng.random() < (0.4 if is_code else 0.12)
        end = int(rng.integers(side // 4, side)) if is_short else side
        while x < end:
            word = _word(rng, is_code)
            ink = inks[int(rng.integers(0, len(inks)))] if is_code else inks[0]
            draw.text((x, top), word, ink, font, stroke_width=int(rng.random() < 0.05))
            x += round(draw.textlength(word + " ", font))
        top += leading
        if rng.random() < 0.08:
            top += leading
    return image


def _word(rng: np.random.Generator, is_code: bool) -> str:
    word = "".join(rng.choice(_LETTERS, int(rng.integers(1, 10))))
    if is_code and rng.random() < 0.6:
        word += "".join(rng.choice(_MARKS, int(rng.integers(1, 4))))
    return word


def _font(rng: np.random.Generator) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, int]:
    """Choose a typeface and its size in pixels."""
    if rng.random() < 0.15:
        return ImageFont.load_default_imagefont(), 11
    size = int(rng.choice([10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 30]))
    font = ImageFont.load_default(size)
    return font, size


def _colour(
    rng: np.random.Generator, limits: tuple[int, int], spread: int = 120
) -> tuple[int, int, int]:
    """Choose a colour whose channels lie around one level, up to spread apart."""
    level = rng.integers(*limits)
    red, green, blue = np.clip(level + rng.integers(-spread, spread + 1, 3), 0, 255)
    return int(red), int(green), int(blue)
