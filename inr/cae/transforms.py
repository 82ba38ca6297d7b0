"""Analysis and synthesis: pictures of three channels to latents at a sixteenth of their sides.

Balle2017: Balle, Laparra, Simoncelli, "End-to-end optimized image compression", ICLR 2017, Section
4, in the shape of Yang et al., "Variable rate deep image compression with modulated autoencoder",
2020: GDN after the last convolution too, and what is multiplied by lambda's vectors.
Residual: residual blocks with GDN, simplified attention (Cheng et al., CVPR 2020, Section 3.3) and
sub-pixel upsampling.

Names of tensors, here and in entropy_models.py, which weights files keep:

    a0, s0         layers of analysis and synthesis; of a hyperprior's ha0, hs0
    ga0, gs1       the GDN beside the layer of that name; ga0@48 is that of one width of many
    ma0, mhs1      the vector that multiplies channels there, made of lambda; mhy, mp:
                   see entropy_models.py
    a_short        the shortcut of blocks; s_short likewise
    a0_0, a0_1     convolutions of a residual block, a0_s the one beside them, a0_g its GDN
    a3_g0, a3_v0   blocks of an attention's gate and value, a3_gate the last convolution of the gate
    .._w, .._b     kernel and bias of a layer; .._beta, .._gamma what a GDN divides by
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from inr.cae.layers import Chain, Conv, Deconv, Gate, Gdn, Relu, Shuffle, Sum, join, modulate
from inr.errors import UsageError

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

    @property
    def is_slimmable(self) -> bool:
        """Whether narrower models can share its kernels."""
        return self.hidden == self.n_latents

    def at_width(self, width: int) -> "Balle2017":
        """Return one width: corners of the kernels, with a GDN of its own."""
        return replace(self, hidden=width, n_latents=width, gdn_suffix=f"@{width}")

    def analysis(self) -> Chain:
        """Build the chain from pictures to latents."""
        n, m = self.hidden, self.n_latents
        layers = join(
            Conv("a0", N_COLOURS, n, 9, stride=4),
            self._modulate_inside("ma0"),
            self._gdn("ga0", n),
            Conv("a1", n, n, 5, stride=2),
            self._modulate_inside("ma1"),
            self._gdn("ga1", n),
            Conv("a2", n, m, 5, stride=2, has_bias=False),
        )
        if self.has_shortcut:
            shortcut = Conv("a_short", N_COLOURS, m, BLOCK, BLOCK, has_bias=False)
            layers = join(Sum((layers, (shortcut,))))
        scale = modulate("ma2", m, self.is_modulated)
        gdn = join(self._gdn("ga2", m)) if self.has_latent_gdn else ()
        # Modulation follows a convolution; bottleneck scaling comes right before the rounding.
        return join(layers, gdn, scale) if self.only_latents else join(layers, scale, gdn)

    def synthesis(self) -> Chain:
        """Build the chain from latents to pictures."""
        n, m = self.hidden, self.n_latents
        layers = join(
            Deconv("s0", m, n, 5, stride=2),
            self._gdn("gs1", n, is_inverse=True),
            self._modulate_inside("ms1"),
            Deconv("s1", n, n, 5, stride=2),
            self._gdn("gs2", n, is_inverse=True),
            self._modulate_inside("ms2"),
            Deconv("s2", n, N_COLOURS, 9, stride=4),
        )
        if self.has_shortcut:
            shortcut = Deconv("s_short", m, N_COLOURS, BLOCK, BLOCK, has_bias=False)
            layers = join(Sum((layers, (shortcut,))))
        scale = modulate("ms0", m, self.is_modulated)
        gdn = join(self._gdn("gs0", m, is_inverse=True)) if self.has_latent_gdn else ()
        return join(scale, gdn, layers) if self.only_latents else join(gdn, scale, layers)

    def _gdn(self, name: str, n: int, is_inverse: bool = False) -> Gdn:
        return Gdn(name + self.gdn_suffix, n, is_inverse)

    def _modulate_inside(self, name: str) -> Chain:
        return modulate(name, self.hidden, self.is_modulated and not self.only_latents)


@dataclass(frozen=True)
class Residual:
    """Residual blocks, two attentions each way, 32 latents a block."""

    hidden: int = 192
    n_latents: int = 32
    is_modulated: bool = True

    LATENT_SCALE: ClassVar[str] = "ma3"
    has_shortcut: ClassVar[bool] = False
    is_slimmable: ClassVar[bool] = False

    def at_width(self, width: int) -> "Residual":
        """Refuse: this transform has one width."""
        raise UsageError(f"width={width}: a Residual transform has no widths")

    def analysis(self) -> Chain:
        """Build the chain from pictures to latents."""
        n, m, on = self.hidden, self.n_latents, self.is_modulated
        return join(
            _residual_block("a0", N_COLOURS, n, stride=2),
            modulate("ma0", n, on),
            _residual_block("a1", n, n),
            _residual_block("a2", n, n, stride=2),
            modulate("ma1", n, on),
            _attention("a3", n),
            _residual_block("a4", n, n),
            _residual_block("a5", n, n, stride=2),
            modulate("ma2", n, on),
            _residual_block("a6", n, n),
            _attention("a7", n),
            Conv("a8", n, m, 3, stride=2),
            modulate("ma3", m, on),
            Relu(0.2),
        )

    def synthesis(self) -> Chain:
        """Build the chain from latents to pictures."""
        n, m, on = self.hidden, self.n_latents, self.is_modulated
        return join(
            modulate("ms0", m, on),
            Conv("s0", m, n, 3),
            _attention("s1", n),
            _residual_block("s2", n, n),
            _upsampling_block("s3", n),
            modulate("ms1", n, on),
            _residual_block("s4", n, n),
            _upsampling_block("s5", n),
            modulate("ms2", n, on),
            _attention("s6", n),
            _residual_block("s7", n, n),
            _upsampling_block("s8", n),
            modulate("ms3", n, on),
            _residual_block("s9", n, n),
            _upsampling_block("s10", n),
            Conv("s11", n, N_COLOURS, 3),
        )


Transform = Balle2017 | Residual


def _residual_block(name: str, n_in: int, n: int, stride: int = 1) -> Chain:
    inner = join(
        Conv(f"{name}_0", n_in, n, 3, stride),
        Relu(0.2),
        Conv(f"{name}_1", n, n, 3),
        Gdn(f"{name}_g", n),
    )
    return join(Sum((inner, join(Conv(f"{name}_s", n_in, n, 1, stride)))))


def _upsampling_block(name: str, n: int) -> Chain:
    inner = join(
        Conv(f"{name}_0", n, 4 * n, 3),
        Relu(0.2),
        Shuffle(2),
        Conv(f"{name}_1", n, n, 3),
        Gdn(f"{name}_g", n, is_inverse=True),
    )
    return join(Sum((inner, join(Conv(f"{name}_s", n, 4 * n, 1), Shuffle(2)))))


def _attention(name: str, n: int) -> Chain:
    gates = [_residual_block(f"{name}_g{i}", n, n) for i in range(3)]
    values = [_residual_block(f"{name}_v{i}", n, n) for i in range(3)]
    gate = Gate(join(*gates, Conv(f"{name}_gate", n, n, 1)), join(*values))
    return join(Sum((join(gate), join(Conv(f"{name}_s", n, n, 1)))))
