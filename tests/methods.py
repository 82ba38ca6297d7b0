"""One small instance or two of every method: the contract tests run over these lists."""

from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.fields.fourier import Fourier
from inr.fields.siren import Siren
from inr.quantize.uniform import Uniform
from inr.splits.whole import Whole

FIELDS = [
    Siren(hidden=8, n_layers=1),
    Siren(hidden=20, n_layers=3, first_omega_0=22.5),
    Fourier(hidden=8, n_layers=1, n_frequencies=4),
    Fourier(hidden=20, n_layers=3, n_frequencies=16, sigma=3.0),
]
QUANTIZERS = [Uniform(), Uniform(bits=2)]
CODERS = [RangeCoder(), Zstd(), Zstd(level=1)]
SPLITS = [Whole()]
