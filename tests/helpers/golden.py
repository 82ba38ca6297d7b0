"""What a decoder must give back exactly: the integer codes of a file."""

import hashlib

from inr.cae.decode import codec_of, latents_of
from inr.cae.kind import CaeFile
from inr.grid.file import read_grid
from inr.grid.kind import GridFile
from inr.kinds import open_file
from inr.mlp.file import read_codes
from inr.mlp.kind import MlpFile


def codes_sha256(data: bytes) -> str:
    """Hash all integer codes of a file, in file order: of kind grid those of networks and latents,
    of kind cae those of latents."""
    file = open_file(data)
    match file:
        case GridFile():
            coded, latents = read_grid(file.content)
            codes = [*coded.codes.values(), *latents]
        case CaeFile():
            found = latents_of(file.content, codec_of(file.content, None))
            codes = [found.y] if found.z is None else [found.y, found.z]
        case MlpFile():
            codes = [*read_codes(file.content).values()]
    return hashlib.sha256(b"".join(c.astype("<i4").tobytes() for c in codes)).hexdigest()
