"""Numbers as Huffman symbols: the size and two bits in the symbol, all other bits plain.

    0..3        symbols 0..3
    v >= 4      with 2**e <= v < 2**(e + 1): symbol 4 (e - 1) + the two bits after the highest,
                then the e - 2 low bits as they are

JPEG (ITU-T T.81, F.1.2.1) puts the size alone in the symbol. With two bits more the numbers of
one symbol differ by less than a quarter, over which the density of weights and of gaps is flat:
the plain bits waste about 0.1 %.
"""

import numpy as np
from numpy.typing import NDArray

_FIRST = 4  # the first number with a size


def symbols_of(
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Splits int64[n], 0 <= number < 2**33, into symbols 0..127, plain bits, and how many."""
    exponent = np.frexp(np.maximum(numbers, _FIRST).astype(np.float64))[1].astype(np.int64) - 1
    n_plain = exponent - 2
    symbol = np.where(numbers < _FIRST, numbers, 4 * (exponent - 2) + (numbers >> n_plain))
    return symbol, numbers & ((1 << n_plain) - 1), n_plain


def n_plain_bits(symbols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how many plain bits follow each symbol."""
    return np.maximum(symbols // 4 - 1, 0)


def numbers_of(symbols: NDArray[np.int64], plain: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of `symbols_of`."""
    leading = np.where(symbols < _FIRST, symbols, 4 + symbols % 4)
    return (leading << n_plain_bits(symbols)) + plain
