"""What `inr info` tells of a file."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from inr.any_file import open_any
from inr.coders.costs import divided, tensor_bytes
from inr.coders.entropy import entropy_bound_bits
from inr.format.container import DEFAULT_MAX_PIXELS, SECTION_NAMES, SECTION_WEIGHTS, VERSION
from inr.image.metrics import bpp
from inr.mlp.file import CODE_BITS, Opened, WeightsSection, read_codes, read_section

# Whoever asks what is in a file waits for about ten seconds at most: latents and codes that take
# more multiply-adds (work.py) are not decoded, and larger networks not encoded anew.
_MAX_MACS = 4 * 10**11
_MAX_CODED_WEIGHTS, _MAX_CODED_TENSORS = 1 << 20, 1 << 7


def describe(
    data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS, max_macs: float = _MAX_MACS
) -> dict[str, Any]:
    """Tell header, stages, sections and tensors of a file, ready for JSON; raises FormatError.

    Args:
      data: the bytes of the file.
      max_pixels: of kind grid, the latents of a larger picture are not decoded, and their bits are
        None.
      max_macs: latents of kind grid and codes of kind mlp that take more multiply-adds (work.py)
        are not decoded, and what they would tell is None.
    """
    opened = open_any(data)
    header, n_bytes = opened.header, len(data)
    common = {
        "n_bytes": n_bytes,
        "bpp": bpp(n_bytes, header.height, header.width),
        "version": VERSION,
        "kind": opened.KIND,
        "height": header.height,
        "width": header.width,
        "n_channels": header.n_channels,
        "bit_depth": header.bit_depth,
    }
    if opened.KIND == "grid":
        from inr.grid.describe import describe_grid

        return common | describe_grid(opened, n_bytes, max_pixels, max_macs)
    if opened.KIND == "cae":
        from inr.cae.describe import describe_cae

        return common | describe_cae(opened, n_bytes)
    return common | _describe_mlp(opened, n_bytes, max_macs)


def _describe_mlp(opened: Opened, n_bytes: int, max_macs: float) -> dict[str, Any]:
    header, stages = opened.header, opened.stages
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in opened.sections.items()}
    told = _describe_codes(opened, max_macs)
    return {
        "ranges": [list(pair) for pair in header.ranges],
        "split": _stage(stages.split),
        "field": _stage(stages.field),
        "quantizer": _stage(stages.quantizer),
        "coder": _stage(stages.coder),
        "n_weights": opened.n_weights,
        "n_zeros": told["n_zeros"],
        "sparsity": told["sparsity"],
        "bits_per_weight": round(8 * sections["weights"] / opened.n_weights, 4),
        "bits_per_kept_weight": told["bits_per_kept_weight"],
        "sections": sections,
        "overhead_bytes": n_bytes - sum(sections.values()),
        "level_bytes": told["level_bytes"],
        "tensors": told["tensors"],
    }


def _describe_codes(opened: Opened, max_macs: float) -> dict[str, Any]:
    """What only the codes tell; None for each where reading them is more work than max_macs."""
    from inr.mlp.work import macs_of_codes

    if macs_of_codes(opened.n_weights) > max_macs:
        names = "n_zeros", "sparsity", "bits_per_kept_weight", "level_bytes", "tensors"
        return dict.fromkeys(names)
    weights = read_section(opened)
    tensors = _tensors(opened, weights)
    n_zeros = sum(tensor["n_zeros"] for tensor in tensors)
    n_kept = max(opened.n_weights - n_zeros, 1)
    return {
        "n_zeros": n_zeros,
        "sparsity": round(_count_trained(opened, weights.codes).sparsity, 6),
        # What a weight costs that is not zero, with its share of levels and of saying where it is.
        "bits_per_kept_weight": round(8 * len(opened.sections[SECTION_WEIGHTS]) / n_kept, 4),
        "level_bytes": weights.n_level_bytes,
        "tensors": tensors,
    }


def _tensors(opened: Opened, weights: WeightsSection) -> list[dict[str, Any]]:
    """One entry a tensor; their bytes and those of the levels add up to the section's."""
    codes = weights.codes
    coded_bytes = len(opened.sections[SECTION_WEIGHTS]) - weights.n_level_bytes
    flat = list(codes.values())
    if opened.n_weights <= _MAX_CODED_WEIGHTS and len(flat) <= _MAX_CODED_TENSORS:
        shares = tensor_bytes(opened.stages.coder, flat, CODE_BITS, coded_bytes)
    else:
        shares = divided(coded_bytes, [entropy_bound_bits([tensor]) for tensor in flat])
    return [
        {
            "name": name,
            "shape": list(tensor.shape),
            "n_zeros": int((tensor == 0).sum()),
            "n_bytes": n_bytes,
        }
        for (name, tensor), n_bytes in zip(codes.items(), shares, strict=True)
    ]


@dataclass(frozen=True)
class Counts:
    """Numbers of a file that were trained."""

    n_weights: int  # all of them
    n_matrix: int  # those in matrices
    n_zeros: int  # codes in matrices that are 0

    @property
    def sparsity(self) -> float:
        return self.n_zeros / self.n_matrix if self.n_matrix else 0.0


def achieved_sparsity(data: bytes) -> float | None:
    """The share of zeros in what was trained; None of other kinds, which have no such
    thing."""
    opened = open_any(data)
    return trained_counts(opened).sparsity if opened.KIND == "mlp" else None


def trained_counts(opened: Opened) -> Counts:
    """Counts what was trained, and the zeros in it; raises FormatError."""
    return _count_trained(opened, read_codes(opened))


def _count_trained(opened: Opened, codes: dict[str, np.ndarray]) -> Counts:
    trained_shapes = opened.field_set.trained_shapes()
    trained = [tensor for name, tensor in codes.items() if name in trained_shapes]
    matrices = [tensor for tensor in trained if tensor.ndim == 2]
    return Counts(
        n_weights=sum(tensor.size for tensor in trained),
        n_matrix=sum(tensor.size for tensor in matrices),
        n_zeros=sum(int((tensor == 0).sum()) for tensor in matrices),
    )


def _stage(stage: Any) -> dict[str, Any]:
    """Name and decoded fields of a stage."""
    fields = {name: vars(stage)[name] for name, _ in stage.WIRE}
    assert dataclasses.is_dataclass(stage)
    return {"name": type(stage).__name__.lower(), **fields}
