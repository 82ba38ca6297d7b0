"""The one error that a bad file raises."""


class FormatError(Exception):
    """The bytes are not a readable .inr file: damaged, cut short, or of a newer version.

    Decoding raises this and nothing else for bad data; bad arguments raise ValueError.
    """
