"""What a training is made of besides its configuration: pictures and first weights, as hashes."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inr.cae.training.held_out import identity
from inr.cae.training.pictures import Pictures, Warn, digest_of
from inr.errors import UsageError


@dataclass(frozen=True)
class Origin:
    """As a checkpoint keeps it; all is None in those that were written before it was kept."""

    n_pictures: int | None
    pictures: str | None  # hash of pixels, sizes and order
    validation: str | None  # likewise; None where there are none
    start: str | None  # hash of the weights given; None where they are those of the seed

    @classmethod
    def of(
        cls,
        pictures: Pictures,
        validation: Sequence[np.ndarray],
        start: Mapping[str, Mapping[str, Any]] | None,
    ) -> "Origin":
        """Return the origin of a run."""
        return cls(
            len(pictures.sources),
            pictures.digest,
            digest_of(map(identity, validation)) if validation else None,
            None if start is None else _hash_of_weights(start),
        )

    @classmethod
    def read(cls, numbers: Mapping[str, Any]) -> "Origin":
        """Read the origin in a checkpoint; the inverse of `numbers`."""
        return cls(*(numbers.get(field.name) for field in dataclasses.fields(cls)))

    def numbers(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return dataclasses.asdict(self)

    def after(
        self, before: "Origin", folder: Path, *, warn: Warn, validation_decides: bool
    ) -> "Origin":
        """Return the origin of the training from this run on.

        Args:
          before: of the runs so far.
          folder: of the training, for messages.
          warn: called with a line if `before` says nothing, or of other validation pictures.
          validation_decides: they decide the training, and are not only looked at.
        Raises:
          UsageError: with this run it would be another training.
        """
        if before.pictures is None:
            warn(
                f"{folder} does not say what it was trained on; it is taken to be these "
                f"{self.n_pictures} pictures"
            )
            return self
        way_out = f"or begin another training with its weights: -o OTHER --start {folder}"
        if before.pictures != self.pictures:
            raise UsageError(
                f"{folder} was trained on {before.n_pictures} pictures, and the {self.n_pictures} "
                f"given are not those in that order; give those again, {way_out}"
            )
        if self.start not in (None, before.start):
            raise UsageError(
                f"{folder} began with other weights than are given now; leave out --start to go "
                "on, or name another folder"
            )
        if validation_decides and self.validation != before.validation:
            raise UsageError(
                f"{folder} has its lambdas from other validation pictures; give those again, "
                f"{way_out}"
            )
        if (
            None not in (self.validation, before.validation)
            and self.validation != before.validation
        ):
            warn(
                f"{folder} was validated on other pictures before; the lines of its log cannot be "
                "compared"
            )
        return dataclasses.replace(before, validation=self.validation or before.validation)


def _hash_of_weights(weights: Mapping[str, Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for group, tensors in sorted(weights.items()):
        for name, tensor in sorted(tensors.items()):
            array = np.asarray(tensor)
            digest.update(f"{group} {name} {array.dtype.name} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
