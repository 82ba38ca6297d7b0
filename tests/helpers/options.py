"""Options of encodings by the names that `inr.encode` has for them."""

from inr.options import EncodeOptions, Target, parse_target


def encode_options(**given) -> EncodeOptions:
    """Return the options of as in encode_options(target_bytes=900, seed=3)."""
    targets = {name: given.pop(name) for name in Target.NAMES if name in given}
    return EncodeOptions(parse_target(targets), **given)
