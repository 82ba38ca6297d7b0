"""What latents are coded under: one density a channel, or a scale for each that is coded before.

A prior is data, as the transforms are; what it codes with comes from the codec, as `CodingTools`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inr.cae.density_tables import LIMIT, DensityTables
from inr.cae.latent_coder import encode_factorized, encode_laplace, read_factorized, read_laplace
from inr.cae.layers import Abs, Chain, Conv, Deconv, Relu, join, modulate
from inr.coders.laplace_tables import EVEN_SCALE, MEAN_BITS, N_SCALES, SCALE_STEPS
from inr.coders.range_engine import RangeReader, RangeWriter

HYPER_BLOCK = 4  # latents a side for which there is one hyperlatent of each channel
PRIOR_SCALE = "mp"  # the vector that stretches a factorized density
HYPER_INPUT_SCALE = "mhy"  # the vector that takes back from latents what lambda does to them

Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Latents:
    """What a picture becomes."""

    y: Codes  # [ceil(height / 16), ceil(width / 16), n_latents]
    z: Codes | None = None  # hyperlatents, a quarter of the sides; None without a hyperprior


@dataclass(frozen=True)
class CodingTools:
    """What a prior codes with: a model at one rate."""

    tables: DensityTables
    knot: int  # of the tables
    apply: Callable[[str, Floats], Floats]  # a chain of the model by its group, exact
    latent_scale: Floats | None  # [n_latents], the vector m that multiplies latents, if any
    log_latent_scale: Floats | None  # its logarithm


@dataclass(frozen=True)
class Factorized:
    """Each channel of latents has one density, of Balle et al., "Variational image compression with
    a scale hyperprior", ICLR 2018, Appendix 6.1. It is stretched by a vector that comes from
    lambda."""

    has_hyperlatents: ClassVar[bool] = False

    def chains(self, n_latents: int, is_modulated: bool) -> dict[str, Chain]:
        """Return the prior's own chains by the group of their tensors: none."""
        return {}

    def n_coded(self, n_latents: int) -> int:
        """Count the channels under the factorized density."""
        return n_latents

    def latents_of(self, y: Codes, tools: CodingTools) -> Latents:
        """Complete rounded latents by what the prior codes besides: nothing."""
        return Latents(y)

    def encode_latents(self, writer: RangeWriter, latents: Latents, tools: CodingTools) -> None:
        """Write latents; the inverse of `read_latents`."""
        encode_factorized(writer, latents.y, tools.tables, tools.knot)

    def read_latents(
        self, reader: RangeReader, shape: tuple[int, int, int], tools: CodingTools
    ) -> Latents:
        """Read latents [rows, cols, n_latents]; raises FormatError."""
        return Latents(read_factorized(reader, *shape, tools.tables, tools.knot))


@dataclass(frozen=True)
class Hyperprior:
    """A second, smaller autoencoder tells the scale of each latent (Balle et al. 2018, Section 3).

    Densities are Laplace, as in kind grid, because their tables are made of integers alone; with
    has_mean their centres are predicted too (Minnen et al., "Joint autoregressive and hierarchical
    priors", 2018, Section 3). Both are predicted from latents before lambda's vector multiplies
    them: what that does to a density is known.
    """

    hidden: int = 64  # channels of the hyperlatents and of the layers inside
    has_mean: bool = True

    has_hyperlatents: ClassVar[bool] = True

    def chains(self, n_latents: int, is_modulated: bool) -> dict[str, Chain]:
        """Return the prior's own chains by the group of their tensors."""
        n, on = self.hidden, is_modulated
        analysis = join(
            modulate(HYPER_INPUT_SCALE, n_latents, on),
            () if self.has_mean else Abs(),
            Conv("ha0", n_latents, n, 3),
            modulate("mha0", n, on),
            Relu(),
            Conv("ha1", n, n, 5, stride=2),
            modulate("mha1", n, on),
            Relu(),
            Conv("ha2", n, n, 5, stride=2),
            modulate("mha2", n, on),
        )
        # To the natural logarithms of the scales, and behind them the means if there are any.
        synthesis = join(
            modulate("mhs0", n, on),
            Deconv("hs0", n, n, 5, stride=2),
            Relu(),
            modulate("mhs1", n, on),
            Deconv("hs1", n, n, 5, stride=2),
            Relu(),
            modulate("mhs2", n, on),
            Conv("hs2", n, n_latents * (2 if self.has_mean else 1), 3),
        )
        return {"hyper_analysis": analysis, "hyper_synthesis": synthesis}

    def n_coded(self, n_latents: int) -> int:
        """Count the channels under the factorized density: those of the hyperlatents."""
        return self.hidden

    def latents_of(self, y: Codes, tools: CodingTools) -> Latents:
        """Complete rounded latents by their hyperlatents."""
        rows, cols = (-n % HYPER_BLOCK for n in y.shape[:2])
        whole = np.pad(y, ((0, rows), (0, cols), (0, 0)), mode="edge").astype(np.float64)
        return Latents(y, round_to_codes(tools.apply("hyper_analysis", whole)))

    def encode_latents(self, writer: RangeWriter, latents: Latents, tools: CodingTools) -> None:
        """Write hyperlatents, then latents; the inverse of `read_latents`."""
        assert latents.z is not None
        encode_factorized(writer, latents.z, tools.tables, tools.knot)
        rows, cols, n = latents.y.shape
        encode_laplace(writer, latents.y, *self.densities(latents.z, (rows, cols, n), tools))

    def read_latents(
        self, reader: RangeReader, shape: tuple[int, int, int], tools: CodingTools
    ) -> Latents:
        """Read latents [rows, cols, n_latents] and hyperlatents; raises FormatError."""
        rows, cols = (-(-n // HYPER_BLOCK) for n in shape[:2])
        z = read_factorized(reader, rows, cols, self.hidden, tools.tables, tools.knot)
        return Latents(read_laplace(reader, *self.densities(z, shape, tools)), z)

    def densities(
        self, z: Codes, shape: tuple[int, int, int], tools: CodingTools
    ) -> tuple[Ints, Ints]:
        """Compute means, in 32nds, and indices of scales for latents [rows, cols, n_latents].

        What the hyper synthesis tells of a latent is, of a latent that lambda's vector m does not
        yet multiply, log b and the mean. From them come
          scale   80 + 16 * (log b + log m), rounded and clipped to 0..160
          mean    m * mean * 32, rounded and clipped to what latents can be
        log m has knots of its own, for logarithms are not the same on every machine.
        """
        rows, cols, n = shape
        made = tools.apply("hyper_synthesis", z.astype(np.float64))[:rows, :cols]
        log_scale, mean = made[..., :n], made[..., n:]
        if tools.log_latent_scale is not None:
            log_scale = log_scale + tools.log_latent_scale
        scale = np.floor(log_scale * SCALE_STEPS + (EVEN_SCALE + 0.5))
        scale = np.clip(scale, 0, N_SCALES - 1).astype(np.int64)
        if not self.has_mean:
            return np.zeros(shape, np.int64), scale
        if tools.latent_scale is not None:
            mean = mean * tools.latent_scale
        most = LIMIT << MEAN_BITS
        mean = np.floor(mean * (1 << MEAN_BITS) + 0.5)
        return np.clip(mean, -most, most).astype(np.int64), scale


Prior = Factorized | Hyperprior


def round_to_codes(features: Floats) -> Codes:
    """Round to integers within +-LIMIT."""
    return np.clip(np.floor(features + 0.5), -LIMIT, LIMIT).astype(np.int32)
