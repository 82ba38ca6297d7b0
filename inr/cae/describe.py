"""What `inr info` tells of a cae file."""

from typing import Any

from inr.cae.codec import CaeCodec
from inr.cae.file import CaeContent
from inr.format.container import SECTION_NAMES


def describe(content: CaeContent, codec: CaeCodec) -> dict[str, Any]:
    """Tell model, rate and sections, ready for JSON."""
    coded = content.coded
    sections = {SECTION_NAMES[tag]: len(payload) for tag, payload in content.sections.items()}
    return {
        "colours_crc32": f"{coded.crc:08x}",
        "model": codec.weights.name,
        "model_id": coded.model,
        "model_sha256": codec.weights.sha256,
        "rate": coded.rate,
        "lambda": codec.lambda_of(coded.rate),
        "n_latents": codec.weights.model.n_latents,
        "sections": sections,
    }
