"""What `inr info` tells of a cae file."""

from typing import Any

from inr.cae.cae_file import OpenedCae
from inr.cae.decode import codec_of
from inr.container import SECTION_NAMES, VERSION
from inr.metrics import bpp


def describe_cae(opened: OpenedCae, n_bytes: int) -> dict[str, Any]:
    """Header, model, rate and sections, ready for JSON; raises FormatError."""
    header, coded = opened.header, opened.coded
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in opened.sections.items()}
    codec = codec_of(opened)
    return {
        "n_bytes": n_bytes,
        "bpp": bpp(n_bytes, header.height, header.width),
        "version": VERSION,
        "kind": opened.KIND,
        "height": header.height,
        "width": header.width,
        "n_channels": header.n_channels,
        "bit_depth": header.bit_depth,
        "colours_crc32": f"{coded.crc:08x}",
        "model": codec.weights.name,
        "model_id": coded.model,
        "model_sha256": codec.weights.sha256,
        "rate": coded.rate,
        "lambda": codec.lambda_of(coded.rate),
        "n_latents": codec.weights.model.n_latents,
        "sections": sections,
        "overhead_bytes": n_bytes - sum(sections.values()),
    }
