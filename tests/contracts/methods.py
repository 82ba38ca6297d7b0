"""One small instance or two of every method: the contract tests run over these lists."""

from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.siren import Siren
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.dense import Dense
from inr.mlp.sparsify.feathermap import Feathermap
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.rigl import RigL
from inr.mlp.sparsify.set import SET
from inr.mlp.sparsify.small_dense import SmallDense
from inr.mlp.sparsify.snfs import SNFS
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole

FIELDS = [
    Siren(hidden=8, n_layers=1),
    Siren(hidden=20, n_layers=3, first_omega_0=22.5),
    Fourier(hidden=8, n_layers=1, n_frequencies=4),
    Fourier(hidden=20, n_layers=3, n_frequencies=16, sigma=3.0),
    FeathermapSiren(Siren(hidden=20, n_layers=3), rank=4),
]
QUANTIZERS = [
    Uniform(),
    Uniform(bits=2),
    KMeans(),
    KMeans(bits=3, n_iterations=2),
    Distribution(),
    Distribution(bits=4),
    Float16(),
]
CODERS = [RangeCoder(), Huffman(), Zstd(), Zstd(level=1), Deflate(), Lzma()]
SPLITS = [Whole(), Wavelet(), Wavelet(wavelet="bior2.2", levels=2, low_share=0.5)]
SPARSIFIERS = [
    Dense(),
    RigL(),
    RigL(sparsity=0.5, erk=False, drop=0.9, stop=1.0),
    SET(),
    SNFS(),
    SNFS(sparsity=0.5, erk=False, drop=0.9, stop=1.0),
    Magnitude(),
    Magnitude(sparsity=0.97, per_layer=True, n_updates=3, stop=0.6),
    SmallDense(),
    Feathermap(),
]
