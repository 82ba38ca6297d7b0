"""What `inr info` tells of a cae file."""

from typing import Any

from inr.cae.decode import codec_of
from inr.cae.file import OpenedCae
from inr.format.container import SECTION_NAMES


def describe_cae(opened: OpenedCae, n_bytes: int) -> dict[str, Any]:
    """Model, rate and sections, ready for JSON; raises FormatError."""
    coded = opened.coded
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in opened.sections.items()}
    codec = codec_of(opened)
    return {
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
