"""The optimizers of fit_settings.py, built from optax.

They run at a constant rate: the fit scales their updates by its schedule, whose progress may
follow the clock.
"""

import jax
import optax

from inr.fit_settings import Adam, Muon

Params = dict[str, jax.Array]

_MUON_MIN_SIDE = 8  # below, orthogonalising a matrix costs more than it brings


def make(settings: Adam | Muon, params: Params) -> optax.GradientTransformation:
    """Builds the gradient transformation that the settings describe, for these tensors."""
    if isinstance(settings, Adam):
        return optax.adam(settings.learning_rate)
    return optax.contrib.muon(
        settings.learning_rate,
        adam_learning_rate=settings.adam_learning_rate,
        muon_weight_dimension_numbers=_matrices(params),
    )


def _matrices(params: Params) -> dict[str, optax.contrib.MuonDimensionNumbers | None]:
    """Which tensors go to Muon: matrices that are not thin."""
    return {
        name: optax.contrib.MuonDimensionNumbers()
        if w.ndim == 2 and min(w.shape) >= _MUON_MIN_SIDE
        else None
        for name, w in params.items()
    }
