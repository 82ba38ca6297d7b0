"""What `inr info` tells of a file."""

import dataclasses
from typing import Any

from inr.coders.costs import tensor_bytes
from inr.container import KIND_MLP, SECTION_NAMES, SECTION_WEIGHTS, VERSION
from inr.metrics import bpp
from inr.mlp_file import CODE_BITS, Opened, n_level_bytes, open_file, read_codes


def describe(data: bytes) -> dict[str, Any]:
    """Header, stages, sections and tensors of a file, ready for JSON; raises FormatError."""
    opened = open_file(data)
    header, stages = opened.header, opened.stages
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in opened.sections.items()}
    tensors = _tensors(opened)
    n_zeros = sum(tensor["n_zeros"] for tensor in tensors)
    return {
        "n_bytes": len(data),
        "bpp": bpp(len(data), header.height, header.width),
        "version": VERSION,
        "kind": {KIND_MLP: "mlp"}[KIND_MLP],
        "height": header.height,
        "width": header.width,
        "n_channels": header.n_channels,
        "bit_depth": header.bit_depth,
        "ranges": [list(pair) for pair in header.ranges],
        "split": _stage(stages.split),
        "field": _stage(stages.field),
        "quantizer": _stage(stages.quantizer),
        "coder": _stage(stages.coder),
        "n_weights": opened.n_weights,
        "n_zeros": n_zeros,
        "sparsity": round(sparsity_of(opened), 6),
        "bits_per_weight": round(8 * sections["weights"] / opened.n_weights, 4),
        # What a weight costs that is not zero, with its share of levels and of saying where it is.
        "bits_per_kept_weight": round(
            8 * sections["weights"] / max(opened.n_weights - n_zeros, 1), 4
        ),
        "sections": sections,
        "overhead_bytes": len(data) - sum(sections.values()),
        "level_bytes": n_level_bytes(opened),
        "tensors": tensors,
    }


def _tensors(opened: Opened) -> list[dict[str, Any]]:
    """One entry a tensor; their bytes and those of the levels add up to the section's."""
    codes = read_codes(opened)
    level_bytes = n_level_bytes(opened)
    coded_bytes = len(opened.sections[SECTION_WEIGHTS]) - level_bytes
    shares = tensor_bytes(opened.stages.coder, list(codes.values()), CODE_BITS, coded_bytes)
    return [
        {
            "name": name,
            "shape": list(tensor.shape),
            "n_zeros": int((tensor == 0).sum()),
            "n_bytes": n_bytes,
        }
        for (name, tensor), n_bytes in zip(codes.items(), shares, strict=True)
    ]


def sparsity_of(opened: Opened) -> float:
    """Fraction of zeros among the codes of all trained matrices; raises FormatError."""
    trained = opened.joint.trained_shapes()
    matrices = [w for name, w in read_codes(opened).items() if name in trained and w.ndim == 2]
    n_codes = sum(w.size for w in matrices)
    return sum(int((w == 0).sum()) for w in matrices) / n_codes if n_codes else 0.0


def _stage(stage: Any) -> dict[str, Any]:
    """Name and decoded fields of a stage."""
    fields = {name: vars(stage)[name] for name, _ in stage.WIRE}
    assert dataclasses.is_dataclass(stage)
    return {"name": type(stage).__name__.lower(), **fields}
