"""The codes of a fitted .inr file, written by every entropy coder there is.

The one place of the experiments that works below the public names of `inr`: the coders are not
among them, and to compare them on the same codes is what two of the experiments are for.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from inr.coders.costs import entropy_bound_bits
from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.protocol import Coder
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.format import container
from inr.kinds import open_file
from inr.mlp.file import read_codes
from inr.mlp.tags import write_stages

CODERS: dict[str, Coder] = {
    "rangecoder": RangeCoder(),
    "huffman": Huffman(),
    "zstd": Zstd(),
    "deflate": Deflate(),
    "lzma": Lzma(),
}


@dataclass(frozen=True)
class Recoded:
    """An .inr file with its codes written by another coder."""

    payload_bytes: int  # of the codes
    level_bytes: int  # of what the weights section has before them
    bound_bytes: float  # n * H(histogram) of each tensor, summed
    n_bytes: int  # of the whole file
    encode_ms: float  # best of several runs, in one thread
    decode_ms: float


def recode(data: bytes, coder: Coder, *, repeats: int = 1) -> Recoded:
    """Write the codes of a file of kind mlp with another coder, and read them back.

    Args:
      data: the bytes of the file.
      repeats: of encoding and decoding, whose best times count.
    """
    content = open_file(data).content
    codes = list(read_codes(content).values())
    weights = content.sections[container.SECTION_WEIGHTS]
    levels = weights.removesuffix(content.stages.coder.encode(codes))
    payload = coder.encode(codes)
    stages = write_stages(dataclasses.replace(content.stages, coder=coder))
    header = dataclasses.replace(content.header, stages=stages)
    made = container.pack(header, content.sections | {container.SECTION_WEIGHTS: levels + payload})
    again = read_codes(open_file(made).content).values()
    assert all(map(np.array_equal, codes, again)), f"{type(coder).__name__} changed the codes"
    return Recoded(
        payload_bytes=len(payload),
        level_bytes=len(levels),
        bound_bytes=entropy_bound_bits(codes) / 8,
        n_bytes=len(made),
        encode_ms=_best_ms(partial(coder.encode, codes), repeats),
        decode_ms=_best_ms(partial(coder.decode, payload, [t.size for t in codes]), repeats),
    )


def _best_ms(work: Callable[[], object], repeats: int) -> float:
    """Time the shortest of several runs: others on the machine can only make one longer."""
    seconds = []
    for _ in range(repeats):
        started_at = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started_at)
    return 1e3 * min(seconds)
