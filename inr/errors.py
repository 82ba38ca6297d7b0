"""The errors that are not our own mistakes: each is one line that says what to do.

The command line prints these as `error: ...` and exits with 1; whatever else is raised is a bug of
this package and shows its traceback.
"""


class InrError(Exception):
    """What was asked cannot be done; the message says why, and what to do instead."""


class FormatError(InrError):
    """The bytes are not a readable .inr file: damaged, cut short, or of a newer version.

    Decoding raises this and nothing else for bad data; bad arguments raise UsageError.
    """


class UsageError(InrError, ValueError):
    """An argument, setting or file named by the caller does not fit."""


class ImageError(UsageError):
    """The picture cannot be read: missing, damaged, too large, or of an unknown kind."""


class FitError(InrError, RuntimeError):
    """The fit did not end in usable weights, or missed its target."""


class BackendError(InrError):
    """jax cannot compute at all: it cannot be loaded, or lacks the backend that was asked for."""


class OutOfMemoryError(InrError, MemoryError):
    """There was not enough memory; the message says what needs less."""


class CodecError(InrError):
    """Another library could not code a picture, or is not there."""
