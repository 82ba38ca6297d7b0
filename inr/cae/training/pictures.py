"""Pictures to train on: found, turned to RGB of 8 bits, kept out of the test sets, cut into crops.

Every picture is decoded once when it is opened, so that a damaged one shows before the training
and a picture of a test set never enters it.

Rules: grey is repeated; 16 bits become 8 by rounding x * 255 / 65535, those of RGB files (which
Pillow opens with 8) by dropping the lower ones; pictures with alpha are left out; colour profiles
are ignored; EXIF orientation is applied.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from inr.cae.training.held_out import Listed, Pixels, identity, orient, read_list, refuse_if_listed
from inr.errors import ImageError, UsageError

if TYPE_CHECKING:
    from inr.image.picture import Picture

Warn = Callable[[str], None]
T = TypeVar("T")

SUFFIXES = frozenset(
    f".{suffix}" for suffix in "png webp jpg jpeg avif jp2 tif tiff bmp ppm pgm".split()
)
MAX_CACHED_BYTES = 2**31
MAX_DOWNSCALING = 2.0  # of crops; large pictures are then seen at the detail of small ones
MAX_COUNTED_PIXELS = 2**20  # else the few largest photographs would be most of the crops


@dataclass(frozen=True)
class Source:
    """Where the bytes of one picture are."""

    path: Path  # the picture, or the archive it is in
    member: str | None = None  # its name in the archive

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    def read(self) -> bytes:
        if self.member is None:
            return self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return _unpack(archive, self.member, str(self))


@dataclass(frozen=True)
class Pictures:
    """Pictures of known size; what did not fit into memory is decoded at each use."""

    sources: tuple[Source, ...]
    sizes: NDArray[np.int64]  # [n_pictures, 2]: height, width
    decoded: tuple[Pixels | None, ...]  # None: over the limit
    n_with_alpha: int  # pictures left out
    identities: tuple[str, ...]  # hashes of size and pixels

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that a training sees: pixels, sizes and order."""
        return digest_of(self.identities)

    def pixels(self, index: int) -> Pixels:
        """Decode u8 [height, width, 3] of one picture."""
        cached = self.decoded[index]
        if cached is not None:
            return cached
        pixels = decode_rgb(self.sources[index].read(), str(self.sources[index]))
        if pixels is None or identity(pixels) != self.identities[index]:
            raise UsageError(
                f"{self.sources[index]} has changed since it was opened; start the training again"
            )
        return pixels


def open_pictures(
    *paths: Path,
    warn: Warn,
    max_cached_bytes: int = MAX_CACHED_BYTES,
    held_out: Mapping[str, Listed] | None = None,
) -> Pictures:
    """Open all pictures of folders, with theirs inside, and of .zip archives.

    Sorted by name within each path; files whose name has none of SUFFIXES are ignored. Of what
    does not fit into memory, archives are slower to read again than folders.

    Args:
      warn: called with one line if pictures with alpha were left out.
      max_cached_bytes: pictures are kept in memory from the first one on up to this much.
      held_out: pictures of test sets by identity; None for those of the list.
    Raises:
      ValueError: a path that is neither, no pictures, or a picture of a test set.
      ImageError: a picture that cannot be read.
    """
    if max_cached_bytes < 0:
        raise ValueError(f"max_cached_bytes={max_cached_bytes} is negative; 0 keeps no picture")
    known = read_list() if held_out is None else held_out
    sources: list[Source] = []
    sizes: list[tuple[int, int]] = []
    decoded: list[Pixels | None] = []
    identities: list[str] = []
    n_with_alpha = n_cached_bytes = 0
    for source, data in _find(paths):
        pixels = decode_rgb(data, str(source))
        if pixels is None:
            n_with_alpha += 1
            continue
        refuse_if_listed(pixels, str(source), known)
        keep = n_cached_bytes + pixels.nbytes <= max_cached_bytes
        n_cached_bytes += pixels.nbytes if keep else 0
        sources.append(source)
        sizes.append(pixels.shape[:2])
        identities.append(identity(pixels))
        decoded.append(pixels if keep else None)
    if not sources:
        raise UsageError(
            f"no pictures in {', '.join(map(str, paths)) or 'no path'}: looked for "
            f"{' '.join(sorted('*' + suffix for suffix in SUFFIXES))}, left out {n_with_alpha} "
            "with alpha; give folders or .zip archives of opaque pictures"
        )
    if n_with_alpha:
        warn(f"{n_with_alpha} pictures with alpha are left out; {len(sources)} are used")
    return Pictures(
        sources=tuple(sources),
        sizes=np.array(sizes, np.int64),
        decoded=tuple(decoded),
        n_with_alpha=n_with_alpha,
        identities=tuple(identities),
    )


def digest_of(identities: Iterable[str]) -> str:
    """Hash identities of pictures in their order: SHA-256, in hexadecimal."""
    return hashlib.sha256("\n".join(identities).encode()).hexdigest()


def decode_rgb(data: bytes, name: str) -> Pixels | None:
    """Decode a picture file by the rules at the top of this module.

    Args:
      name: what errors call it.
    Returns:
      u8 [height, width, 3], not writeable; None for a picture with alpha.
    Raises:
      ImageError: not a picture, damaged, or of a kind that is not supported.
    """
    from PIL import Image

    from inr.image.read import from_pil

    try:
        with Image.open(io.BytesIO(data)) as image:
            picture = from_pil(image, warn=lambda text: None)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except (OSError, Image.DecompressionBombError) as error:  # of Image.open
        raise ImageError(f"{name}: not a picture that can be read; remove it ({error})") from error
    return _rgb(picture)


def crops(pictures: Pictures, n: int, side: int, seed: int, step: int) -> Pixels:
    """Cut n random squares; the same pictures, seed and step give the same ones.

    A picture is chosen with a probability proportional to its number of pixels, of which
    MAX_COUNTED_PIXELS count; those smaller than a crop are never chosen. Every other crop, on
    average, is scaled down (Lanczos) by a factor of 1 to MAX_DOWNSCALING, or less where the picture
    is smaller; all lie at random places and are flipped and turned at random.

    Args:
      side: pixels.
      seed, step: not negative.
    Returns:
      u8 [n, side, side, 3].
    Raises:
      ValueError: every picture is smaller than a crop, or an argument is out of range.
    """
    if n < 1 or side < 1 or seed < 0 or step < 0:
        raise ValueError(
            f"n={n}, side={side}, seed={seed}, step={step}: n and side start at 1, the others at 0"
        )
    n_counted = np.minimum(pictures.sizes.prod(axis=1), MAX_COUNTED_PIXELS)  # [n_pictures]
    n_counted[pictures.sizes.min(axis=1) < side] = 0
    if not n_counted.any():
        raise UsageError(
            f"side={side}: none of the {len(pictures.sources)} pictures is that large, the largest "
            f"has {pictures.sizes.min(axis=1).max()} pixels on its shorter side; cut smaller crops"
        )
    rng = np.random.default_rng((seed, step))
    chosen = rng.choice(len(n_counted), size=n, p=n_counted / n_counted.sum())
    return np.stack([_crop(pictures.pixels(index), side, rng) for index in chosen])


@contextmanager
def prefetch(make: Callable[[int], T], steps: Iterable[int]) -> Iterator[Iterator[T]]:
    """Yield an iterator over make(step), each made in a thread while the one before is used.

        with prefetch(lambda step: crops(pictures, 8, 256, seed, step), range(1000)) as batches:
            for batch in batches:

    What make raises is raised where its result would have come. The thread has ended on exit,
    after at most the two steps that lie ahead.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:

        def ahead() -> Iterator[T]:
            pending: Future[T] | None = None
            for step in steps:
                following = pool.submit(make, step)
                if pending is not None:
                    yield pending.result()
                pending = following
            if pending is not None:
                yield pending.result()

        yield ahead()


def _find(paths: Iterable[Path]) -> Iterator[tuple[Source, bytes]]:
    """Find all pictures and their bytes; hidden files, such as those of macOS, are none."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if _is_picture(file) and file.is_file():
                    yield Source(file), file.read_bytes()
        elif zipfile.is_zipfile(path):
            with _archive(path) as archive:
                for member in sorted(archive.namelist()):
                    if _is_picture(Path(member)):
                        source = Source(path, member)
                        yield source, _unpack(archive, member, str(source))
        else:
            raise UsageError(f"{path} is neither a folder nor a .zip archive; give one of pictures")


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UsageError(f"{path}: a damaged .zip archive; make it anew ({error})") from error


def _unpack(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    try:
        return archive.read(member)
    except Exception as error:  # zipfile and zlib: damaged, encrypted, of an unknown method
        raise ImageError(f"{name}: cannot be unpacked; remove it ({error})") from error


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _rgb(picture: "Picture") -> Pixels | None:
    if picture.has_alpha:
        return None
    pixels = picture.round_to_8_bits().pixels
    rgb = np.array(np.broadcast_to(pixels, (picture.height, picture.width, 3)), np.uint8)
    rgb.flags.writeable = False
    return rgb


def _crop(pixels: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    from PIL import Image

    height, width, _ = pixels.shape
    span = side
    if rng.random() < 0.5:
        span = int(side * rng.uniform(1.0, min(MAX_DOWNSCALING, min(height, width) / side)))
    top = rng.integers(height - span + 1)
    left = rng.integers(width - span + 1)
    part = pixels[top : top + span, left : left + span]  # [span, span, 3]
    if span > side:
        scaled = Image.fromarray(part).resize((side, side), Image.Resampling.LANCZOS)
        part = np.asarray(scaled)  # [side, side, 3]
    return orient(part, int(rng.integers(8)))
