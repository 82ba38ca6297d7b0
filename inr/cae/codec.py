"""Pictures to latents, latents to bytes, and back, with the weights of one model.

A file names its lambda by a rate 0..N_RATES - 1, evenly over the logarithms of the model's range,
the finest first. Scales of channels at a rate lie on the line between those of the two knots
around it; densities are those of the nearest knot.

  the section   words of the range coder, "<u4", trailing zero bytes left out: hyperlatents, if the
                model has any, then latents; see entropy_models.py and latent_coder.py

Before their hyperlatents are computed, latents are extended to multiples of HYPER_BLOCK rows and
columns by repeating the last ones.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inr.cae.entropy_models import CodingTools, Latents, round_to_codes
from inr.cae.exact.chain import ExactChain, analyse, synthesize
from inr.cae.transforms import BLOCK
from inr.cae.weights import LOG_LATENT_SCALE, N_KNOTS, Weights
from inr.coders.range_engine import new_reader, new_writer, words_from_bytes, words_to_bytes
from inr.errors import FormatError, UsageError
from inr.image.region import Region

N_RATES = 256

Scales = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class CaeCodec:
    """One width of a model, its chains proven exact when they are first used."""

    weights: Weights  # of one width

    @property
    def n_rates(self) -> int:
        """Number of rates that files can name: 1 of a model that knows one lambda."""
        return N_RATES if self.weights.vectors else 1

    def lambda_of(self, rate: int) -> float:
        """Return the lambda of a rate."""
        return self.weights.model.lambda_at(2 * rate / (N_RATES - 1) - 1)

    def rate_of(self, lambda_: float) -> int:
        """Return the rate of the nearest lambda; UsageError outside of the model's range."""
        model = self.weights.model
        slack = 1 + 1e-6
        if not model.lambda_low / slack <= lambda_ <= model.lambda_high * slack:
            raise UsageError(
                f"lambda={lambda_}: the model {self.weights.name} knows {model.lambda_low:.6g}.."
                f"{model.lambda_high:.6g}"
            )
        if self.n_rates == 1:
            return 0
        rate = round((model.position(lambda_) + 1) / 2 * (N_RATES - 1))
        return min(max(rate, 0), N_RATES - 1)

    def analyse(self, pixels: NDArray[np.uint8], rate: int) -> Latents:
        """Compute the latents of u8[height, width, 3]."""
        y = analyse(self._chains["analysis"], pixels, self._scales(rate))
        return self.weights.model.prior.latents_of(round_to_codes(y), self.tools(rate))

    def write(self, latents: Latents, rate: int) -> bytes:
        """Write the latents as bytes; the inverse of `read`."""
        writer = new_writer()
        self.weights.model.prior.encode_latents(writer, latents, self.tools(rate))
        return words_to_bytes(writer.finish())

    def read(self, data: bytes, height: int, width: int, rate: int) -> Latents:
        """Read the latents of a picture of that size.

        Takes memory for each pixel of the size, however short data is: hold it against a limit.

        Raises:
          FormatError: data is not what `write` made.
        """
        model, reader = self.weights.model, new_reader(words_from_bytes(data))
        shape = -(-height // BLOCK), -(-width // BLOCK), model.n_latents
        latents = model.prior.read_latents(reader, shape, self.tools(rate))
        if not reader.is_finished():
            raise FormatError("latents: the data does not end with its last symbol")
        return latents

    def synthesize(
        self, latents: Latents, height: int, width: int, rate: int, region: Region | None = None
    ) -> NDArray[np.uint8]:
        """Draw u8[height, width, 3], or a region of it."""
        y, scales = latents.y.astype(np.float64), self._scales(rate)
        return synthesize(self._chains["synthesis"], y, height, width, scales, region)

    def tools(self, rate: int) -> CodingTools:
        """Gather what the prior codes with at a rate."""
        scales = self._scales(rate)
        return CodingTools(
            tables=self.weights.densities[0],
            knot=self._nearest_knot(rate),
            apply=lambda group, features: self._chains[group].apply(features, scales),
            latent_scale=scales.get(self.weights.model.transform.LATENT_SCALE),
            log_latent_scale=scales.get(LOG_LATENT_SCALE),
        )

    def _nearest_knot(self, rate: int) -> int:
        last = N_RATES - 1
        return (rate * (N_KNOTS - 1) + last // 2) // last if self.weights.vectors else 0

    def _scales(self, rate: int) -> Scales:
        below, part = divmod(rate * (N_KNOTS - 1), N_RATES - 1)
        above, share = min(below + 1, N_KNOTS - 1), part / (N_RATES - 1)
        scales: Scales = {}
        for name, knots in self.weights.vectors.items():
            low, high = knots[below].astype(np.float64), knots[above].astype(np.float64)
            scales[name] = low + (high - low) * share
        return scales

    @cached_property
    def _chains(self) -> dict[str, ExactChain]:
        return {
            group: ExactChain.of(chain, self.weights.tensors[group])
            for group, chain in self.weights.model.chains().items()
        }
