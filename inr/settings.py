"""`--set PATH=VALUE`: changes one field somewhere in a recipe."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from inr.recipes import Recipe

T = TypeVar("T")


def with_settings(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """Returns the recipe with the values at the given paths, as in {"fit.steps": "500"}.

    Setting field.hidden also sets fixed_size: who names the width wants that width.

    Raises:
      ValueError: an unknown path (the text lists those there are) or a value that does not fit.
    """
    for path, text in settings.items():
        recipe = _replaced(recipe, path.split("."), text, path)
        if path == "field.hidden":
            recipe = dataclasses.replace(recipe, fixed_size=True)
    return recipe


def paths(node: Any, prefix: str = "") -> list[str]:
    """All paths that can be set in a recipe, with their values, as "fit.steps=4000"."""
    found = []
    for name, value in _fields(node).items():
        if dataclasses.is_dataclass(value):
            found += paths(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}={value}")
    return found


def _fields(node: Any) -> dict[str, Any]:
    return {f.name: vars(node)[f.name] for f in dataclasses.fields(node) if f.name != "name"}


def _replaced(node: T, names: list[str], text: str, path: str) -> T:
    name, *rest = names
    values = _fields(node)
    if name not in values or bool(rest) != dataclasses.is_dataclass(values[name]):
        known = ", ".join(
            f"{other}.*" if dataclasses.is_dataclass(value) else other
            for other, value in values.items()
        )
        raise ValueError(f"unknown setting {path}: {type(node).__name__} has {known or 'none'}")
    if rest:
        value = _replaced(values[name], rest, text, path)
    else:
        value = _parsed(text, typing.get_type_hints(type(node))[name], path)
    return dataclasses.replace(node, **{name: value})  # type: ignore[type-var]


def _parsed(text: str, annotation: Any, path: str) -> Any:
    if isinstance(annotation, types.UnionType):  # "int | None"
        if text.lower() == "none":
            return None
        annotation = next(t for t in typing.get_args(annotation) if t is not types.NoneType)
    if annotation is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"{path}={text}: expected true or false")
    try:
        return annotation(text)
    except ValueError:
        expected = "a whole number" if annotation is int else "a number"
        raise ValueError(f"{path}={text}: expected {expected}") from None
