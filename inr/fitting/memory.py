"""Memory that the process holds but does not use."""

import ctypes


def give_back() -> None:
    """Gives freed memory back to the system, where the C library is one that can: compiling leaves
    more than half a gigabyte that is free but would stay with the process."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return
