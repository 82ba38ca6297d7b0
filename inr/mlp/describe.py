"""What `inr info` tells of a file of kind mlp."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from inr.coders.costs import entropy_bound_bits, share_bytes, tensor_bytes
from inr.format.container import SECTION_NAMES, SECTION_WEIGHTS
from inr.mlp.file import MlpContent, WeightsSection, read_section
from inr.mlp.work import reading_macs

# Larger networks are not encoded anew to tell what each tensor takes.
_MAX_CODED_WEIGHTS, _MAX_CODED_TENSORS = 1 << 20, 1 << 7


def describe(content: MlpContent, max_macs: float | None) -> dict[str, Any]:
    """Tell stages, sections and tensors, ready for JSON.

    Args:
      max_macs: codes that take more multiply-adds to read are not decoded, and what they would
        tell is None.
    Raises:
      FormatError: the file is damaged.
    """
    header, stages = content.header, content.stages
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in content.sections.items()}
    of_codes = _describe_codes(content, max_macs)
    return {
        "ranges": [list(pair) for pair in header.ranges],
        "split": _stage(stages.split),
        "field": _stage(stages.field),
        "quantizer": _stage(stages.quantizer),
        "coder": _stage(stages.coder),
        "n_weights": content.n_weights,
        "n_zeros": of_codes["n_zeros"],
        "sparsity": of_codes["sparsity"],
        "bits_per_weight": round(8 * sections["weights"] / content.n_weights, 4),
        "bits_per_kept_weight": of_codes["bits_per_kept_weight"],
        "sections": sections,
        "level_bytes": of_codes["level_bytes"],
        "tensors": of_codes["tensors"],
    }


def _describe_codes(content: MlpContent, max_macs: float | None) -> dict[str, Any]:
    """Tell what only the codes say; None for each where reading them is more work than max_macs."""
    if max_macs is not None and reading_macs(content.n_weights) > max_macs:
        names = "n_zeros", "sparsity", "bits_per_kept_weight", "level_bytes", "tensors"
        return dict.fromkeys(names)
    weights = read_section(content)
    tensors = _tensors(content, weights)
    n_zeros = sum(tensor["n_zeros"] for tensor in tensors)
    n_kept = max(content.n_weights - n_zeros, 1)
    return {
        "n_zeros": n_zeros,
        "sparsity": round(count_trained(content, weights.codes).sparsity, 6),
        # What a weight costs that is not zero, with its share of qparams and of saying where it is.
        "bits_per_kept_weight": round(8 * len(content.sections[SECTION_WEIGHTS]) / n_kept, 4),
        "level_bytes": weights.n_qparam_bytes,
        "tensors": tensors,
    }


def _tensors(content: MlpContent, weights: WeightsSection) -> list[dict[str, Any]]:
    """One entry a tensor; their bytes and those of the qparams add up to the section's."""
    codes = weights.codes
    coded_bytes = len(content.sections[SECTION_WEIGHTS]) - weights.n_qparam_bytes
    flat, trained = list(codes.values()), content.field_set.trained_shapes()
    if content.n_weights <= _MAX_CODED_WEIGHTS and len(flat) <= _MAX_CODED_TENSORS:
        shares = tensor_bytes(content.stages.coder, flat, coded_bytes)
    else:
        shares = share_bytes(coded_bytes, [entropy_bound_bits([tensor]) for tensor in flat])
    return [
        {
            "name": name,
            "shape": list(tensor.shape),
            "is_trained": name in trained,
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


def count_trained(content: MlpContent, codes: dict[str, np.ndarray]) -> Counts:
    """Count what was trained, and the zeros in it."""
    trained_shapes = content.field_set.trained_shapes()
    trained = [tensor for name, tensor in codes.items() if name in trained_shapes]
    matrices = [tensor for tensor in trained if tensor.ndim == 2]
    return Counts(
        n_weights=sum(tensor.size for tensor in trained),
        n_matrix=sum(tensor.size for tensor in matrices),
        n_zeros=sum(int((tensor == 0).sum()) for tensor in matrices),
    )


def _stage(stage: Any) -> dict[str, Any]:
    """Return name and decoded fields of a stage, those of a stage inside among them."""
    fields: dict[str, Any] = {}
    for name, _ in stage.WIRE:
        value = vars(stage)[name]
        fields |= dict(vars(value)) if dataclasses.is_dataclass(value) else {name: value}
    return {"name": type(stage).__name__.lower(), **fields}
