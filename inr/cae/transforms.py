"""Analysis and synthesis: pictures of three channels to latents at a sixteenth of their sides.

Balle2017: Balle, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017, Section
4, in the shape of Yang et al., "Variable rate deep image compression with modulated autoencoder",
2020: GDN after the last convolution too, and what is multiplied by lambda's vectors.
Residual: residual blocks with GDN, simplified attention (Cheng et al., CVPR 2020, Section 3.3) and
sub-pixel upsampling.
"""

from dataclasses import dataclass
from typing import ClassVar

from inr.cae.layers import Chain, Conv, Deconv, Gate, Gdn, Layer, Relu, Scale, Shuffle, Sum

BLOCK = 16  # pixels a side for which there is one latent of each channel
N_COLOURS = 3


@dataclass(frozen=True)
class Balle2017:
    """Three convolutions each way: 9x9 of stride 4, then twice 5x5 of stride 2."""

    hidden: int = 192  # filters of the layers inside
    n_latents: int = 192  # channels of the latents
    has_latent_gdn: bool = True  # GDN between the last convolution and the latents
    has_shortcut: bool = False  # a linear transform of blocks of 16x16 beside the three layers
    is_modulated: bool = True  # channels are multiplied by vectors that come from lambda
    only_latents: bool = False  # those that are rounded next alone: bottleneck scaling
    gdn_suffix: str = ""  # of the names of GDN tensors: those of one width of a slimmable model

    LATENT_SCALE: ClassVar[str] = "ma2"  # the vector that multiplies the latents

    def analysis(self) -> Chain:
        n, m = self.hidden, self.n_latents
        first = (
            *(Conv("a0", N_COLOURS, n, 9, 4), *self._inner("ma0"), self._gdn("ga0", n)),
            *(Conv("a1", n, n, 5, 2), *self._inner("ma1"), self._gdn("ga1", n)),
            Conv("a2", n, m, 5, 2, has_bias=False),
        )
        shortcut = Conv("a_short", N_COLOURS, m, BLOCK, BLOCK, has_bias=False)
        chain: Chain = (Sum((first, (shortcut,))),) if self.has_shortcut else first
        latent_gdn = (self._gdn("ga2", m),) if self.has_latent_gdn else ()
        return (*chain, *self._around(self._scale("ma2", m), latent_gdn))

    def synthesis(self) -> Chain:
        n, m = self.hidden, self.n_latents
        last = (
            Deconv("s0", m, n, 5, 2),
            *(self._gdn("gs1", n, True), *self._inner("ms1"), Deconv("s1", n, n, 5, 2)),
            *(self._gdn("gs2", n, True), *self._inner("ms2"), Deconv("s2", n, N_COLOURS, 9, 4)),
        )
        shortcut = Deconv("s_short", m, N_COLOURS, BLOCK, BLOCK, has_bias=False)
        chain: Chain = (Sum((last, (shortcut,))),) if self.has_shortcut else last
        latent_gdn = (self._gdn("gs0", m, True),) if self.has_latent_gdn else ()
        return (*reversed(self._around(self._scale("ms0", m), latent_gdn)), *chain)

    def _gdn(self, name: str, n: int, is_inverse: bool = False) -> Gdn:
        return Gdn(name + self.gdn_suffix, n, is_inverse)

    def _scale(self, name: str, n: int) -> Chain:
        return (Scale(name, n),) if self.is_modulated else ()

    def _around(self, scale: Chain, latent_gdn: Chain) -> Chain:
        """In the order of the analysis: modulation follows a convolution, bottleneck scaling comes
        right before the rounding."""
        return (*latent_gdn, *scale) if self.only_latents else (*scale, *latent_gdn)

    def _inner(self, name: str) -> Chain:
        return () if self.only_latents else self._scale(name, self.hidden)


@dataclass(frozen=True)
class Residual:
    """Residual blocks, two attentions each way, 32 latents a block."""

    hidden: int = 192
    n_latents: int = 32
    is_modulated: bool = True

    LATENT_SCALE: ClassVar[str] = "ma3"

    def analysis(self) -> Chain:
        n, m = self.hidden, self.n_latents
        return (
            *(_block("a0", N_COLOURS, n, 2), *self._scale("ma0", n), _block("a1", n, n)),
            *(_block("a2", n, n, 2), *self._scale("ma1", n), _attention("a3", n)),
            *(_block("a4", n, n), _block("a5", n, n, 2), *self._scale("ma2", n)),
            *(_block("a6", n, n), _attention("a7", n)),
            *(Conv("a8", n, m, 3, 2), *self._scale("ma3", m), Relu(0.2)),
        )

    def synthesis(self) -> Chain:
        n, m = self.hidden, self.n_latents
        return (
            *(*self._scale("ms0", m), Conv("s0", m, n, 3), _attention("s1", n)),
            *(_block("s2", n, n), _upsampled("s3", n), *self._scale("ms1", n)),
            *(_block("s4", n, n), _upsampled("s5", n), *self._scale("ms2", n)),
            *(_attention("s6", n), _block("s7", n, n), _upsampled("s8", n)),
            *(*self._scale("ms3", n), _block("s9", n, n), _upsampled("s10", n)),
            Conv("s11", n, N_COLOURS, 3),
        )

    def _scale(self, name: str, n: int) -> Chain:
        return (Scale(name, n),) if self.is_modulated else ()


def _block(name: str, n_in: int, n: int, stride: int = 1) -> Layer:
    inner = (
        *(Conv(f"{name}_0", n_in, n, 3, stride), Relu(0.2)),
        *(Conv(f"{name}_1", n, n, 3), Gdn(f"{name}_g", n)),
    )
    return Sum((inner, (Conv(f"{name}_s", n_in, n, 1, stride),)))


def _upsampled(name: str, n: int) -> Layer:
    inner = (
        *(Conv(f"{name}_0", n, 4 * n, 3), Relu(0.2), Shuffle(2)),
        *(Conv(f"{name}_1", n, n, 3), Gdn(f"{name}_g", n, is_inverse=True)),
    )
    return Sum((inner, (Conv(f"{name}_s", n, 4 * n, 1), Shuffle(2))))


def _attention(name: str, n: int) -> Layer:
    gate = tuple(_block(f"{name}_g{i}", n, n) for i in range(3))
    value = tuple(_block(f"{name}_v{i}", n, n) for i in range(3))
    return Sum(
        (
            (Gate((*gate, Conv(f"{name}_gate", n, n, 1)), value),),
            (Conv(f"{name}_s", n, n, 1),),
        )
    )
