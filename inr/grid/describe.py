"""What `inr info` tells of a grid file."""

from typing import Any

from inr.coders.costs import tensor_bytes
from inr.coders.range_coder import RangeCoder
from inr.format.container import SECTION_NAMES, SECTION_NETWORKS
from inr.grid.file import GridContent, read_grid, read_networks_of
from inr.grid.latent_coder import level_bits
from inr.grid.network_coding import CodedNetworks
from inr.grid.structure import Pyramid
from inr.grid.work import latents_macs
from inr.options import DecodeOptions


def describe(content: GridContent, options: DecodeOptions) -> dict[str, Any]:
    """Tell structure, levels, networks and sections, ready for JSON; raises FormatError.

    options: latents above its limits are not decoded to tell their bits.
    """
    pyramid = content.pyramid
    max_pixels, max_macs = options.max_pixels, options.max_macs
    with_latents = max_pixels is None or pyramid.height * pyramid.width <= max_pixels
    with_latents &= max_macs is None or latents_macs(pyramid) <= max_macs
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in content.sections.items()}
    bits: list[float | None] = [None] * len(pyramid.levels)
    if with_latents:
        coded, latents = read_grid(content)
        exact = level_bits(latents, coded.values(pyramid), pyramid)
        bits = [round(each, 1) for each in exact]
    else:
        coded = read_networks_of(content)
    groups = _groups(content, coded)
    return {
        "pixels_crc32": f"{content.crc:08x}",
        "structure": {name: vars(pyramid.structure)[name] for name, _ in pyramid.structure.wire},
        "n_weights": sum(group["n_weights"] for group in groups),
        "n_latents": pyramid.n_latents,
        "sections": sections,
        "levels": _levels(pyramid, bits),
        "networks": groups,
    }


def _levels(pyramid: Pyramid, bits: list[float | None]) -> list[dict[str, Any]]:
    """One entry a level, in the order of coding."""
    return [
        {
            "exponent": level.exponent,
            "is_hyper": level.is_hyper,
            "height": level.height,
            "width": level.width,
            "bits": n_bits,
        }
        for level, n_bits in zip(pyramid.levels, bits, strict=True)
    ]


def _groups(content: GridContent, coded: CodedNetworks) -> list[dict[str, Any]]:
    """One entry a group of tensors; their bytes add up to the section's."""
    flat = coded.by_group(content.pyramid)
    n_bytes = len(content.sections[SECTION_NETWORKS])
    shares = tensor_bytes(RangeCoder(), list(flat.values()), n_bytes)
    return [
        {
            "name": group,
            "q_step": 2.0 ** -coded.octaves[group],
            "n_weights": codes.size,
            "n_zeros": int((codes == 0).sum()),
            "n_bytes": share,
        }
        for (group, codes), share in zip(flat.items(), shares, strict=True)
    ]
