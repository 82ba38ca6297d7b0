"""Pictures to latents, latents to bytes, and back, with the weights of one model.

A file names its lambda by a rate 0..N_RATES - 1, evenly over the logarithms of the model's range,
the finest first. Scales of channels at a rate lie on the line between those of the two knots
around it; densities are those of the nearest knot.

  the section   words of the range coder, "<u4", trailing zero bytes left out: hyperlatents, if the
                model has any, then latents; see latent_coder.py

With a hyperprior, what its synthesis tells of a latent is, of a latent that lambda's vector m does
not yet multiply, log b and the mean. From them come
  scale   80 + 16 * (log b + log m), rounded and clipped to 0..160: the index of laplace_tables.py
  mean    in 32nds of a latent, m * mean * 32, rounded and clipped to what latents can be
log m has knots of its own, for logarithms are not the same on every machine.
Latents are extended to multiples of HYPER_BLOCK rows and columns by repeating the last ones.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inr.cae.density_tables import LIMIT, DensityTables
from inr.cae.exact.chain import ExactChain, analysed, drawn
from inr.cae.latent_coder import (
    encode_factorized,
    encode_laplace,
    read_factorized,
    read_laplace,
)
from inr.cae.model import HYPER_BLOCK, Hyperprior
from inr.cae.transforms import BLOCK
from inr.cae.weights import LOG_LATENT_SCALE, N_KNOTS, Weights
from inr.coders.laplace_tables import EVEN_SCALE, MEAN_BITS, N_SCALES, SCALE_STEPS
from inr.coders.range_engine import new_reader, new_writer, words_from_bytes, words_to_bytes
from inr.errors import FormatError, UsageError
from inr.image.region import Region

N_RATES = 256

Codes = NDArray[np.int32]
Scales = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Latents:
    """What a picture becomes."""

    y: Codes  # [ceil(height / 16), ceil(width / 16), n_latents]
    z: Codes | None  # hyperlatents, a quarter of the sides; None without a hyperprior


@dataclass(frozen=True)
class CaeCodec:
    """One width of a model, its chains proven exact when they are first used."""

    weights: Weights  # of one width

    @property
    def n_rates(self) -> int:
        """Rates that files can name: 1 of a model that knows one lambda."""
        return N_RATES if self.weights.vectors else 1

    def lambda_of(self, rate: int) -> float:
        """The lambda of a rate."""
        return self.weights.model.lambda_at(2 * rate / (N_RATES - 1) - 1)

    def rate_of(self, lambda_: float) -> int:
        """The rate of the nearest lambda; ValueError outside of the model's range."""
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

    def latents_of(self, pixels: NDArray[np.uint8], rate: int) -> Latents:
        """The latents of u8[height, width, 3]."""
        scales = self._scales(rate)
        y = _rounded(analysed(self._chain("analysis"), pixels, scales))
        if not isinstance(self.weights.model.prior, Hyperprior):
            return Latents(y, None)
        features = _extended(y).astype(np.float64)
        return Latents(y, _rounded(self._chain("hyper_analysis").apply(features, scales)))

    def write(self, latents: Latents, rate: int) -> bytes:
        """The latents as bytes; the inverse of `read`."""
        writer = new_writer()
        if latents.z is None:
            encode_factorized(writer, latents.y, self._densities, self._knot(rate))
        else:
            encode_factorized(writer, latents.z, self._densities, self._knot(rate))
            encode_laplace(writer, latents.y, *self._told(latents.z, latents.y.shape, rate))
        return words_to_bytes(writer.finish())

    def read(self, data: bytes, height: int, width: int, rate: int) -> Latents:
        """The latents of a picture of that size; FormatError where data is not what `write` made.

        Takes memory for each pixel of the size, however short data is: hold it against a limit.
        """
        rows, cols = -(-height // BLOCK), -(-width // BLOCK)
        n_coded = self.weights.model.n_coded
        reader = new_reader(words_from_bytes(data))
        if isinstance(self.weights.model.prior, Hyperprior):
            hyper = -(-rows // HYPER_BLOCK), -(-cols // HYPER_BLOCK), n_coded
            z = read_factorized(reader, *hyper, self._densities, self._knot(rate))
            shape = rows, cols, self.weights.model.n_latents
            latents = Latents(read_laplace(reader, *self._told(z, shape, rate)), z)
        else:
            knot = self._knot(rate)
            latents = Latents(
                read_factorized(reader, rows, cols, n_coded, self._densities, knot), None
            )
        if not reader.is_finished():
            raise FormatError("latents: the data does not end with its last symbol")
        return latents

    def draw(
        self, latents: Latents, height: int, width: int, rate: int, region: Region | None = None
    ) -> NDArray[np.uint8]:
        """u8[height, width, 3], or of a region within."""
        y = latents.y.astype(np.float64)
        return drawn(self._chain("synthesis"), y, height, width, self._scales(rate), region)

    def _told(
        self, z: Codes, shape: tuple[int, ...], rate: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Means, in 32nds, and indices of scales for latents [rows, cols, n_latents]."""
        features, scales, n = z.astype(np.float64), self._scales(rate), shape[2]
        told = self._chain("hyper_synthesis").apply(features, scales)[: shape[0], : shape[1]]
        log_scale, mean = told[..., :n], told[..., n:]
        if scales:
            log_scale = log_scale + scales[LOG_LATENT_SCALE]
        scale = np.floor(log_scale * SCALE_STEPS + (EVEN_SCALE + 0.5))
        scale = np.clip(scale, 0, N_SCALES - 1).astype(np.int64)
        if mean.shape[2] == 0:
            return np.zeros(shape, np.int64), scale
        if scales:
            mean = mean * scales[self.weights.model.transform.LATENT_SCALE]
        most = LIMIT << MEAN_BITS
        mean = np.floor(mean * (1 << MEAN_BITS) + 0.5)
        return np.clip(mean, -most, most).astype(np.int64), scale

    @property
    def _densities(self) -> DensityTables:
        return self.weights.densities[0]

    def _knot(self, rate: int) -> int:
        """The nearest one."""
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

    def _chain(self, group: str) -> ExactChain:
        return self._chains[group]

    @cached_property
    def _chains(self) -> dict[str, ExactChain]:
        return {
            group: ExactChain.of(chain, self.weights.tensors[group])
            for group, chain in self.weights.model.chains().items()
        }


def _rounded(features: NDArray[np.float64]) -> Codes:
    return np.clip(np.floor(features + 0.5), -LIMIT, LIMIT).astype(np.int32)


def _extended(y: Codes) -> Codes:
    rows, cols = (-n % HYPER_BLOCK for n in y.shape[:2])
    return np.pad(y, ((0, rows), (0, cols), (0, 0)), mode="edge")
