"""Which set of shipped networks a picture is fitted from: the recipe's, or that for screens.

A picture whose neighbouring pixels mostly differ is no screen. Of others both sets draw parts from
latents as they are predicted, without a fit, and count their bits; the set whose loss is less is
taken. In numpy, about a second for any picture.
"""

from dataclasses import replace

import numpy as np

from inr.fitting.time_budget import budget_of
from inr.grid.checked_file import samples_of
from inr.grid.fit.analysis import as_colours, predict_latents
from inr.grid.fit.result import round_codes
from inr.grid.latent_coder import latent_bits
from inr.grid.prior import prior_networks, rate_of, rate_place
from inr.grid.recipe import GridRecipe, of_screens
from inr.grid.structure import Pyramid, Structure
from inr.grid.synthesis import synthesize
from inr.image.metrics import mse
from inr.image.picture import Picture
from inr.options import Job

_SIDE, _PARTS = 160, 2  # pixels of a part; parts along each side, spread evenly
# Share of pixels that equal the one beside them: in eight photographs of the Kodak suite 0.02 to
# 0.19, in pages of text 0.75 to 0.9.
_FLAT = 0.3
_STANDS_FOR = {3: 2}  # what is better where no fit mends how coarse latents are rounded
_SHORT = 10.0  # seconds left of a time budget, in which there is no time to choose


def choose_prior(job: Job[GridRecipe]) -> Job[GridRecipe]:
    """Return the job with the set of networks that suits its picture; as it is, where a time budget
    is short."""
    recipe, picture, budget = job.recipe, job.picture, budget_of(job.options)
    is_short = budget is not None and budget.left() < _SHORT
    if is_short or recipe.screen_prior in (0, recipe.structure.prior):
        return job
    parts = [samples_of(part) for part in _parts(picture)]
    equal = [(part[:, :, 1:] == part[:, :, :-1]).all(axis=0).ravel() for part in parts]
    if np.concatenate(equal).sum() < _FLAT * sum(each.size for each in equal):
        return replace(job, recipe=replace(recipe, screen_prior=0))

    def loss(recipe: GridRecipe) -> float:
        return sum(_loss(part, _compared(recipe), recipe.lambda_) for part in parts)

    best = min(recipe, of_screens(recipe), key=loss)
    return replace(job, recipe=replace(best, screen_prior=0))


def _compared(recipe: GridRecipe) -> Structure:
    """Return the structure whose set stands for a recipe's where there is no fit: the one for
    files without a fit would win too often against the one that fits of screens begin with."""
    s = recipe.structure
    return replace(s, prior=_STANDS_FOR.get(s.prior, s.prior))


def _parts(picture: Picture) -> list[Picture]:
    """Cut a few parts; of a small picture there is one."""
    tops, lefts = (
        sorted({(size - min(size, _SIDE)) * (2 * i + 1) // (2 * _PARTS) for i in range(_PARTS)})
        for size in (picture.height, picture.width)
    )
    return [
        Picture(np.ascontiguousarray(picture.pixels[top : top + _SIDE, left : left + _SIDE]))
        for top in tops
        for left in lefts
    ]


def _loss(part: np.ndarray, structure: Structure, lambda_: float) -> float:
    """Return n_pixels * (MSE + lambda * bits per pixel) of f32[c, height, width] in 0..1 from the
    set's own networks and predicted latents; of alpha, what colours it leaves."""
    colours = np.ascontiguousarray(as_colours(part))
    height, width = colours.shape[1:]
    pyramid = Pyramid(height, width, 3, structure).at_rate(rate_of(lambda_))
    place = rate_place(pyramid.structure.rate)
    latents = [round_codes(y) for y in predict_latents(colours, place, pyramid)]
    networks = prior_networks(pyramid)
    drawn = synthesize(latents, networks, pyramid, 8)
    wanted = np.rint(colours.transpose(1, 2, 0) * 255).astype(np.uint8)
    error = mse(wanted, drawn) / 255**2
    return float(height * width * error + lambda_ * latent_bits(latents, networks, pyramid))
