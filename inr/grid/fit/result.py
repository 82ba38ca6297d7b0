"""What a fit ends in, free of jax."""

from dataclasses import dataclass

import numpy as np

from inr.coders.laplace_tables import LATENT_LIMIT


@dataclass(frozen=True)
class FitResult:
    """Networks and latents before they are coded."""

    params: dict[str, np.ndarray]  # tensors of the networks
    unrounded: list[np.ndarray]  # f32[h, w] of each level: the latents in codes
    lambda_: float  # with which it ended
    n_steps: int
    steered_at: float = 0.0  # progress at which lambda was last looked at

    def latents(self, dead_zone: float = 0.0) -> list[np.ndarray]:
        """Return the latents as int32 codes, rounded with thresholds further from zero by
        dead_zone."""
        return [round_codes(y, dead_zone) for y in self.unrounded]


def round_codes(y: np.ndarray, dead_zone: float = 0.0) -> np.ndarray:
    """Round f32 latents to int32 codes, with thresholds further from zero by dead_zone."""
    rounded = np.sign(y) * np.floor(np.abs(y) + np.float32(0.5 - dead_zone))
    codes: np.ndarray = rounded.clip(-LATENT_LIMIT, LATENT_LIMIT).astype(np.int32)
    return codes
