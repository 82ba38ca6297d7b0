"""The folder of a study: nothing in it is overwritten but what a study wrote."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inr.errors import UsageError
from inr.studies import ledger


@dataclass(frozen=True)
class StudyFolder:
    """Which names in a folder are a study's, besides its ledger, which is made first of all."""

    study: str
    outputs: tuple[str, ...]  # files that each run writes anew
    folders: tuple[str, ...] = ()  # for what is kept
    former_ledger: str | None = None  # of a version whose rows are not read any more

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
        if (folder / ledger.NAME).exists():
            return
        if self.former_ledger is not None and (folder / self.former_ledger).exists():
            raise UsageError(
                f"{folder} holds {self.former_ledger}, the ledger of a {self.study} by an earlier "
                "version, which this one does not read; name another folder"
            )
        for name in (*self.outputs, *self.folders):
            if os.path.lexists(folder / name):
                raise UsageError(
                    f"{folder} holds {name} but no {ledger.NAME} of a {self.study}; name another "
                    "folder"
                )


def not_written(path: Path, error: Exception) -> str:
    """Say that a result is missing, or one of an earlier run in its place."""
    stale = "; the one there is of an earlier run" if path.exists() else ""
    return f"{path} is not written: {error}{stale}"
