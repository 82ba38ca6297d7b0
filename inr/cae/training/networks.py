"""The chains of layers as flax modules, in float32 or bfloat16, for training."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from inr.cae.layers import Abs, Chain, Conv, Deconv, Gate, Gdn, Relu, Scale, Shuffle, Sum
from inr.cae.training import gdn

Params = dict[str, jax.Array]
Scales = Mapping[str, jax.Array]  # f32[n, channels] by name: a vector for each picture of a batch

_NHWC = ("NHWC", "HWIO", "NHWC")
_kernel_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class Network(nn.Module):
    """Applies a chain; its parameters have the names and shapes of `layers.shapes`.

    conv_dtype: what convolutions compute in; GDN and all between them stay in float32.
    """

    chain: Chain
    conv_dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, scales: Scales) -> jax.Array:
        """Map f32[n, height, width, channels] to the same of the chain's output."""
        return self._apply(self.chain, x, scales)

    def _apply(self, chain: Chain, x: jax.Array, scales: Scales) -> jax.Array:
        for layer in chain:
            match layer:
                case Conv():
                    x = self._add_bias(layer, self._conv(layer, x))
                case Deconv():
                    x = self._add_bias(layer, self._deconv(layer, x))
                case Gdn():
                    x = self._gdn(layer, x)
                case Scale(name):
                    x = x * scales[name][:, None, None]
                case Relu(slope):
                    x = jnp.maximum(x, slope * x)
                case Abs():
                    x = jnp.abs(x)
                case Shuffle(factor):
                    x = depth_to_space(x, factor)
                case Sum(branches):
                    parts = [self._apply(branch, x, scales) for branch in branches]
                    x = sum(parts[1:], parts[0])
                case Gate(gate, value):
                    g = self._apply(gate, x, scales)
                    open_share = (1 + g * lax.rsqrt(1 + jnp.square(g))) / 2
                    x = self._apply(value, x, scales) * open_share
        return x

    def _conv(self, layer: Conv, x: jax.Array) -> jax.Array:
        w = self.param(f"{layer.name}_w", _kernel_init, layer.shapes[f"{layer.name}_w"])
        if layer.kernel == layer.stride > 1:  # the gradient of such a kernel takes XLA seconds
            x = space_to_depth(x, layer.stride)
            return self._correlate(x, w.reshape(1, 1, -1, layer.n_out), 1, "SAME")
        return self._correlate(x, w, layer.stride, "SAME")

    def _deconv(self, layer: Deconv, x: jax.Array) -> jax.Array:
        name = f"{layer.name}_w"
        w = self.param(name, _transposed_init(layer), layer.shapes[name])
        kernel, border = sub_pixel_kernel(w, layer.stride)
        y = self._correlate(x, kernel, 1, [(border, border)] * 2)
        return depth_to_space(y, layer.stride)

    def _correlate(
        self, x: jax.Array, w: jax.Array, stride: int, padding: str | list[tuple[int, int]]
    ) -> jax.Array:
        y = lax.conv_general_dilated(
            x.astype(self.conv_dtype),
            w.astype(self.conv_dtype),
            (stride, stride),
            padding,
            dimension_numbers=_NHWC,
        )
        return y.astype(jnp.float32)

    def _add_bias(self, layer: Conv | Deconv, x: jax.Array) -> jax.Array:
        if not layer.has_bias:
            return x
        return x + self.param(f"{layer.name}_b", nn.initializers.zeros, (layer.n_out,))

    def _gdn(self, layer: Gdn, x: jax.Array) -> jax.Array:
        beta = self.param(
            f"{layer.name}_beta", lambda key, n: gdn.to_trainable(jnp.ones(n)), layer.n
        )
        gamma = self.param(
            f"{layer.name}_gamma",
            lambda key, n: gdn.to_trainable(gdn.GAMMA_AT_START * jnp.eye(n)),
            layer.n,
        )
        beta, gamma = gdn.from_trainable(beta, gdn.BETA_LEAST), gdn.from_trainable(gamma, 0.0)
        return gdn.gdn(x, beta, gamma, is_inverse=layer.is_inverse)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """Map f32[n, h, w, factor**2 * c] to f32[n, h * factor, w * factor, c]: `layers.Shuffle`."""
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, factor, factor, c // factor**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h * factor, w * factor, c // factor**2)


def space_to_depth(x: jax.Array, factor: int) -> jax.Array:
    """Invert `depth_to_space`."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // factor, factor, w // factor, factor, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h // factor, w // factor, factor**2 * c)


def sub_pixel_kernel(w: jax.Array, stride: int) -> tuple[jax.Array, int]:
    """Make a Deconv a convolution of stride 1 before depth_to_space.

    XLA runs that ten times as fast on CPU as a convolution over an input widened by zeros.

    Args:
      w: f32[kernel, kernel, n_out, n_in] of the Deconv.
    Returns:
      f32[size, size, n_in, stride**2 * n_out], and the zeros that belong around the input.
    """
    kernel, _, n_out, n_in = w.shape
    before = max(0, kernel - stride) // 2
    border = max(0, -(-(kernel - stride - before) // stride))
    size = 2 * border + 1
    lead = border * stride - before
    w = jnp.pad(w, [(lead, size * stride - kernel - lead)] * 2 + [(0, 0)] * 2)
    w = w.reshape(size, stride, size, stride, n_out, n_in)[::-1, :, ::-1]
    return w.transpose(0, 2, 5, 1, 3, 4).reshape(size, size, n_in, stride**2 * n_out), border


def _transposed_init(layer: Deconv) -> nn.initializers.Initializer:
    """Scale by the (kernel / stride)**2 * n_in numbers that each output sees."""
    fan_in = layer.n_in * layer.kernel**2 / layer.stride**2
    return nn.initializers.truncated_normal(fan_in**-0.5)
