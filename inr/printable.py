"""Names from outside as text that fits on a line, in a table, a database and a plot."""

import re
from collections.abc import Sequence

# What would end a line, steer a terminal or turn its text around; and halves of surrogate pairs,
# as which Python holds those bytes of a name that are not UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Escape every character that would break its line, steer a terminal or fail to be stored.

    Returns:
      Text that encodes as UTF-8. A byte that was not UTF-8 stands there as in caf\\xe9.png, other
      characters as in Python's literals. A backslash stays one: see `distinct`.
    """
    return _UNPRINTABLE.sub(lambda match: _escape(match[0]), text)


def distinct(texts: Sequence[str]) -> list[str]:
    r"""Make texts printable, so that different ones stay different.

    Where two would look the same, as the byte E9 and the four characters \xe9, their backslashes
    are doubled; if that makes them look like a third, those of all texts.
    """
    shown = [printable(text) for text in texts]
    doubled = [printable(text.replace("\\", "\\\\")) for text in texts]
    texts_of: dict[str, set[str]] = {}
    for look, text in zip(shown, texts, strict=True):
        texts_of.setdefault(look, set()).add(text)
    mixed = [
        twice if len(texts_of[once]) > 1 else once
        for once, twice in zip(shown, doubled, strict=True)
    ]
    return mixed if len(set(mixed)) == len(set(texts)) else doubled


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # the byte itself
    if 0x80 <= code <= 0x9F:
        return f"\\u{code:04x}"  # \x80 is the byte
    return character.encode("unicode_escape").decode()
