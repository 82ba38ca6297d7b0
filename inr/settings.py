"""`--set PATH=VALUE`: changes one field somewhere in a recipe, or exchanges a whole stage."""

import dataclasses
import keyword
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from inr.errors import UsageError
from inr.kinds import kind_of
from inr.options import AnyRecipe

Stages = Mapping[str, tuple[type[Any], ...]]  # methods that `--set PATH=NAME` may name, by path

R = TypeVar("R", bound=AnyRecipe)
T = TypeVar("T")


def with_settings(recipe: R, settings: Mapping[str, str]) -> R:
    """Return the recipe with the values at the given paths, as in {"fit.steps": "500"}.

    A stage is exchanged by the name of its method, as in {"quantize": "kmeans"}; what is set
    below it counts from the new method, in whatever order the settings come.

    Raises:
      UsageError: an unknown path (the text lists those there are) or a value that does not fit.
    """
    stages = kind_of(recipe).stages
    # Stages first: stable, so that otherwise the order given stands.
    for path, text in sorted(settings.items(), key=lambda item: item[0] not in stages):
        recipe = _replace(recipe, path.split("."), text, path, stages)
    return recipe


def with_values(node: T, settings: Mapping[str, str]) -> T:
    """Return any dataclass of settings with the values at the given paths; see `with_settings`."""
    for path, text in settings.items():
        node = _replace(node, path.split("."), text, path, {})
    return node


def paths(node: Any, prefix: str = "") -> list[str]:
    """List all paths that can be set in a recipe, with their values, as "fit.steps=4000"."""
    found = []
    for name, value in _fields(node).items():
        if dataclasses.is_dataclass(value):
            found += paths(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}={value}")
    return found


def _fields(node: Any) -> dict[str, Any]:
    """Return the fields by the names they have in paths."""
    return {
        _path_name(f.name): vars(node)[f.name] for f in dataclasses.fields(node) if f.name != "name"
    }


def _path_name(field: str) -> str:
    """Return the name of a field in a path: one called like a word of Python has a _ behind, so
    that `lambda_` is set as `lambda`."""
    return field[:-1] if keyword.iskeyword(field[:-1]) else field


def _field_name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _replace(node: T, names: list[str], text: str, path: str, stages: Stages) -> T:
    name, *rest = names
    values = _fields(node)
    if not rest and path in stages and name in values:
        return dataclasses.replace(node, **{name: _stage(stages, path, text)})  # type: ignore[type-var]
    if name not in values or bool(rest) != dataclasses.is_dataclass(values[name]):
        known = ", ".join(
            f"{other}.*" if dataclasses.is_dataclass(value) else other
            for other, value in values.items()
        )
        raise UsageError(f"unknown setting {path}: {type(node).__name__} has {known or 'none'}")
    if rest:
        value = _replace(values[name], rest, text, path, stages)
    else:
        value = _parse(text, typing.get_type_hints(type(node))[_field_name(name)], path)
    return dataclasses.replace(node, **{_field_name(name): value})  # type: ignore[type-var]


def _stage(stages: Stages, path: str, text: str) -> Any:
    methods = {method.__name__.lower(): method for method in stages[path]}
    if text.lower() not in methods:
        raise UsageError(f"{path}={text}: expected one of {', '.join(methods)}")
    return methods[text.lower()]()


def _parse(text: str, annotation: Any, path: str) -> Any:
    alternatives = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType):  # as in int | None
        if text.lower() == "none":
            return None
        (annotation,) = (each for each in alternatives if each is not types.NoneType)
    parse, expected = _PARSERS[annotation]
    try:
        return parse(text)
    except ValueError:
        raise UsageError(f"{path}={text}: expected {expected}") from None


def _parse_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _parse_items(item: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(item(part) for part in text.split(",") if part)


# By the annotation of a field: what reads its text, and what is expected. A KeyError here is a
# field of a recipe that `--set` cannot set.
_PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_parse_bool, "true or false"),
    str: (str, "text"),
    tuple[int, ...]: (_parse_items(int), "whole numbers, as in 1,2,3"),
    tuple[float, ...]: (_parse_items(float), "numbers, as in 0.5,1"),
}
