"""The folder of a sweep or a comparison: nothing in it is overwritten but what a study wrote."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError


@dataclass(frozen=True)
class StudyFolder:
    """Which names in a folder are a study's.

    ledger: of the file that is made first of all: where it stands, the others are its study's.
    outputs: of the files that each run writes anew.
    folders: of the folders for what is kept.
    """

    kind: str
    ledger: str
    outputs: tuple[str, ...]
    folders: tuple[str, ...] = ()

    def check(self, folder: Path, inputs: Sequence[Path]) -> None:
        """Find out before the work what would be lost, or stop the results; writes nothing.

        Raises:
          UsageError: the folder is none, holds such names of something else, or one of the inputs
            would be overwritten.
        """
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; name one, it is made if it does not exist")
        for name in self.outputs:
            path = folder / name
            if path.is_symlink():  # what it leads to would be overwritten
                raise UsageError(f"{path} is a link; remove it, or name another folder")
            if path.is_dir():
                raise UsageError(f"{path} is a folder; remove it, or name another folder")
            for given in inputs:
                if given.exists() and path.exists() and path.samefile(given):
                    raise UsageError(f"{path} would be overwritten, an input; name another folder")
        if not (folder / self.ledger).exists():
            for name in (*self.outputs, *self.folders):
                if os.path.lexists(folder / name):
                    raise UsageError(
                        f"{folder} holds {name} but no {self.ledger} of a {self.kind}; name "
                        "another folder"
                    )
