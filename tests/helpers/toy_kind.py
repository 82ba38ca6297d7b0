"""A fourth kind: the mean colour of each 8x8 tile. All that a kind needs, and nothing else."""

from dataclasses import dataclass, replace

import numpy as np

from inr.format.container import SECTION_LATENTS, Header, pack
from inr.options import Candidate, RateAxis

TILE = 8


@dataclass(frozen=True)
class ToyRecipe:
    name: str = "toy"
    step: int = 4  # of a colour


class ToyFile:
    def __init__(self, header, sections, models):
        self.header, self.sections = header, sections

    def decode_work(self, size, region):
        return region.n_pixels

    def working_pixels(self):
        return 0

    def render(self, size, region):
        rows, cols = (-(-side // TILE) for side in (self.header.height, self.header.width))
        colours = np.frombuffer(self.sections[SECTION_LATENTS], np.uint8).reshape(rows, cols, -1)
        down = np.arange(region.y, region.y + region.height) * self.header.height // size.height
        across = np.arange(region.x, region.x + region.width) * self.header.width // size.width
        return colours[down[:, None] // TILE, across // TILE]

    def describe(self, options):
        sections = {"latents": len(self.sections[SECTION_LATENTS])}
        return {
            "sections": sections,
            "n_tiles": len(self.sections[SECTION_LATENTS]) // self.header.n_channels,
        }


class ToyKind:
    number, name, recipe_type, recipes, stages = 7, "toy", ToyRecipe, {"toy": ToyRecipe}, {}
    required, allowed, max_bit_depth = frozenset({SECTION_LATENTS}), frozenset(), 8
    rate_axis = RateAxis("step", (2, 4, 8, 16), lambda r, o, value: (replace(r, step=value), o))
    open = ToyFile

    def encode(self, jobs, report, warn):
        return [Candidate(self.pack(job.picture.pixels, job.recipe.step), 0) for job in jobs]

    def pack(self, pixels, step):
        height, width, n_channels = pixels.shape
        tiles = [
            pixels[y : y + TILE, x : x + TILE].reshape(-1, n_channels).mean(0) // step * step
            for y in range(0, height, TILE)
            for x in range(0, width, TILE)
        ]
        header = Header(height, width, n_channels, 8, ((0, 255),) * n_channels, b"", self.number)
        return pack(header, {SECTION_LATENTS: np.array(tiles).astype(np.uint8).tobytes()})

    def batch_key(self, job):
        return job.picture.pixels.shape

    def work(self, job):
        return 0.0

    def models_folder(self, recipe):
        return None

    def fingerprint(self, recipe):
        return str(recipe)


TOY = ToyKind()
