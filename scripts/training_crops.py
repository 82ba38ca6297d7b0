"""Crops that the trainings of kind grid see: a folder with manifest.csv, whose columns are file,
archive, split, kind and source_path, and the zip archives that it names, of RGB pictures of one
size."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image


def training_rows(folder: Path, seed: int | None = None) -> list[dict[str, str]]:
    """Read the rows of the crops to train on; with a seed, in random order."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    if seed is not None:
        np.random.default_rng(seed).shuffle(rows)  # type: ignore[arg-type]
    return rows


def one_of_each_source(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Keep the first row of each source, in the order of the rows."""
    first_of_source = {row["source_path"]: row for row in reversed(rows)}
    return [row for row in rows if first_of_source[row["source_path"]] is row]


def read_crops(folder: Path, rows: list[dict[str, str]]) -> Iterator[np.ndarray]:
    """Read u8[3, height, width] of each row."""
    archives = {name: zipfile.ZipFile(folder / name) for name in {row["archive"] for row in rows}}
    for row in rows:
        image = Image.open(io.BytesIO(archives[row["archive"]].read(row["file"]))).convert("RGB")
        yield np.asarray(image).transpose(2, 0, 1)
    for archive in archives.values():
        archive.close()
