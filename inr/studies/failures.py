"""What sweeps and comparisons do when one of their many encodings fails.

An error that right code can end in is recorded and reported in a line. Anything else is a bug of
this package: it is recorded too, since the encodings of a night must not be lost to it, but its
traceback is shown and the command fails in the end.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from inr.errors import InrError
from inr.printable import printable


@dataclass(frozen=True)
class Failure:
    """Why one encoding has failed."""

    reason: str  # one line
    traceback: str | None  # of a bug, lines as Python prints them; None of all else


@dataclass(frozen=True)
class Notice:
    """What a study has to say while it goes on."""

    text: str
    is_traceback: bool = False  # several lines, to be shown however quiet the command is


Notify = Callable[[Notice], None]


def once(notify: Notify) -> Notify:
    """Make what tells notices tell each traceback once: a bug often meets many runs."""
    shown: set[str] = set()

    def notify_new(notice: Notice) -> None:
        if notice.is_traceback:
            if notice.text in shown:
                return
            shown.add(notice.text)
        notify(notice)

    return notify_new


def failure_of(error: Exception) -> Failure:
    """Take an error apart.

    Right code can end in errors of ours, of files, of memory, and in what jax raises when it runs,
    as for want of memory on a GPU.
    """
    if isinstance(error, InrError) and str(error):
        return Failure(_printable_line(str(error)), None)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return Failure(_printable_line(f"{error.filename}: {error.strerror}"), None)
    from jax.errors import JaxRuntimeError

    if isinstance(error, (InrError, OSError, MemoryError, JaxRuntimeError)):
        return Failure(one_line(error), None)
    whole = "\n".join(map(printable, "".join(traceback.format_exception(error)).splitlines()))
    return Failure(f"{one_line(error)} (a bug of inr, whose traceback was shown)", whole)


def one_line(error: Exception) -> str:
    """Write kind and text of an error that is not ours in one line."""
    text = _printable_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _printable_line(text: str) -> str:
    return printable(" ".join(text.split()))
