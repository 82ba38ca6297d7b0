"""The prior: networks fitted to many pictures at once, shipped with the package.

Fits begin with them, and files hold only how far a picture's own networks lie from them. They are
part of the format, as tables of other codecs are: `Structure.prior` names the set, and a set never
changes: its SHA-256 stands in assets/manifest.json. Made by scripts/train_grid_prior.py.

They were fitted for pictures of three channels and exponents 0..5 of the pyramid. Columns and
kernels of coarser levels repeat those of the coarsest that is known; grey is the mean of the three
colours; what is left, such as the row of alpha, has no prior.
"""

import functools
import io

import numpy as np

from inr.format.shipped import SHIPPED
from inr.grid.structure import Pyramid, Shape

UNIT_BITS = 12  # stored are int16 multiples of 2**-12
PRIOR_LIMIT = 8.0
_N_COLOURS = 3
_SHA256 = {1: "bc85fd9892f89bb9694586991806c37273fc63c50b928f9229b72265d3216f65"}


@functools.lru_cache(maxsize=8)
def prior_networks(pyramid: Pyramid) -> dict[str, np.ndarray]:
    """Make f64 tensors of all shapes of the pyramid, not to be written to: multiples of
    2**-UNIT_BITS within +-PRIOR_LIMIT, 0 where there is no prior.

    Raises:
      FormatError: the file of the set is damaged or missing.
    """
    shipped = _shipped(pyramid.structure.prior) if pyramid.structure.prior else {}
    fitted = {}
    for name, shape in pyramid.shapes.items():
        fitted[name] = np.zeros(shape)
        known = _find_known(name, shape, shipped, pyramid)
        if known is not None and known.shape[1:] == shape[1:] and len(known) <= shape[0]:
            fitted[name][: len(known)] = known
        fitted[name].setflags(write=False)
    return fitted


@functools.cache
def _shipped(n: int) -> dict[str, np.ndarray]:
    """Read set n: f64 tensors as they were trained."""
    entry = next(entry for entry in SHIPPED.entries("grid") if entry.id == n)
    with np.load(io.BytesIO(SHIPPED.read(entry))) as stored:
        return {name: stored[name] * 2.0**-UNIT_BITS for name in stored.files}


def _find_known(
    name: str, shape: Shape, shipped: dict[str, np.ndarray], pyramid: Pyramid
) -> np.ndarray | None:
    """Return the first rows of a tensor as the prior has them; None if it does not know the
    tensor."""
    coarsest = shipped["synth_w0"].shape[1] - 1 if shipped else 0
    if name.startswith("up") and shipped:
        return shipped[f"up{min(int(name[2:]), coarsest - 1)}"]
    if name not in shipped:
        return None
    known = shipped[name]
    if name in ("synth_w0", "synth_linear"):
        exponents = [level.exponent for level in pyramid.levels if not level.is_hyper]
        known = known[:, [max(0, coarsest - e) for e in exponents]]
    if name in ("synth_linear", "synth_w1", "synth_b1") and pyramid.n_channels < _N_COLOURS:
        known = _round_to_file(known.mean(axis=0, keepdims=True))
    if name.startswith("feature"):  # of the coarsest levels, those that are not known count 0
        n_missing = max(0, shape[1] - known.shape[1])
        known = np.pad(known, ((0, 0), (n_missing, 0)))[:, -shape[1] :]
    return known


def _round_to_file(w: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.ldexp(np.rint(np.ldexp(w, UNIT_BITS)), -UNIT_BITS)
    return rounded
