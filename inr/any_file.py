"""Opens a file of any kind."""

from typing import TYPE_CHECKING

from inr.format import container
from inr.mlp import file as mlp_file
from inr.mlp.file import Opened

if TYPE_CHECKING:
    from inr.cae.file import OpenedCae
    from inr.grid.file import OpenedGrid


def open_any(data: bytes) -> "Opened | OpenedGrid | OpenedCae":
    """A file as far as it can be read without drawing it; raises FormatError."""
    header, sections = container.unpack(data)
    if header.kind == container.KIND_GRID:
        from inr.grid import file as grid_file

        return grid_file.open_sections(header, sections)
    if header.kind == container.KIND_CAE:
        from inr.cae import file as cae_file

        return cae_file.open_sections(header, sections)
    return mlp_file.open_sections(header, sections)
