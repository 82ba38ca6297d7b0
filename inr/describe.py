"""What `inr info` tells of a file."""

import dataclasses
from typing import Any

from inr.container import KIND_MLP, SECTION_NAMES, VERSION
from inr.metrics import bpp
from inr.mlp_file import Opened, open_file, read_codes


def describe(data: bytes) -> dict[str, Any]:
    """Header, stages and sections of a file, ready for JSON; raises FormatError."""
    opened = open_file(data)
    header, stages = opened.header, opened.stages
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in opened.sections.items()}
    n_weights = opened.n_weights
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
        "n_weights": n_weights,
        "bits_per_weight": round(8 * sections["weights"] / n_weights, 4),
        "sections": sections,
        "overhead_bytes": len(data) - sum(sections.values()),
    }


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
