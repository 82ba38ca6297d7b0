"""`--set PATH=VALUE`: changes one field somewhere in a recipe, or exchanges a whole stage."""

import dataclasses
import keyword
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from inr.coders.deflate import Deflate
from inr.coders.huffman import Huffman
from inr.coders.lzma import Lzma
from inr.coders.range_coder import RangeCoder
from inr.coders.zstd import Zstd
from inr.errors import UsageError
from inr.mlp.fields.fourier import Fourier
from inr.mlp.fields.siren import Siren
from inr.mlp.fit.optimizers import Adam, Muon
from inr.mlp.quantize.distribution import Distribution
from inr.mlp.quantize.float16 import Float16
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.quantize.uniform import Uniform
from inr.mlp.sparsify.dense import Dense
from inr.mlp.sparsify.feathermap import Feathermap
from inr.mlp.sparsify.magnitude import Magnitude
from inr.mlp.sparsify.rigl import RigL
from inr.mlp.sparsify.set import SET
from inr.mlp.sparsify.small_dense import SmallDense
from inr.mlp.sparsify.snfs import SNFS
from inr.mlp.splits.wavelet import Wavelet
from inr.mlp.splits.whole import Whole
from inr.recipes import AnyRecipe

T = TypeVar("T")

# What `--set quantize=kmeans` may name: the methods of each stage, with their defaults.
STAGES: dict[str, tuple[type[Any], ...]] = {
    "field": (Siren, Fourier),
    "split": (Whole, Wavelet),
    "sparsify": (Dense, RigL, SNFS, SET, Magnitude, SmallDense, Feathermap),
    "quantize": (Uniform, KMeans, Distribution, Float16),
    "coder": (RangeCoder, Huffman, Zstd, Deflate, Lzma),
    "fit.optimizer": (Muon, Adam),
}


def with_settings(recipe: AnyRecipe, settings: Mapping[str, str]) -> AnyRecipe:
    """Returns the recipe with the values at the given paths, as in {"fit.steps": "500"}.

    A stage is exchanged by the name of its method, as in {"quantize": "kmeans"}; what is set
    below it counts from the new method, in whatever order the settings come. Setting field.hidden
    also sets fixed_size: who names the width wants that width.

    Raises:
      ValueError: an unknown path (the text lists those there are) or a value that does not fit.
    """
    # Stages first: stable, so that otherwise the order given stands.
    for path, text in sorted(settings.items(), key=lambda item: item[0] not in STAGES):
        recipe = with_values(recipe, {path: text})
        if path == "field.hidden" and recipe.KIND == "mlp":
            recipe = dataclasses.replace(recipe, fixed_size=True)
    return recipe


def with_values(node: T, settings: Mapping[str, str]) -> T:
    """`with_settings` for any dataclass of settings."""
    for path, text in settings.items():
        node = _replaced(node, path.split("."), text, path)
    return node


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
    """The fields by the names they have in paths."""
    return {
        _path_name(f.name): vars(node)[f.name] for f in dataclasses.fields(node) if f.name != "name"
    }


def _path_name(field: str) -> str:
    """A field called like a word of Python has a _ behind: `lambda_` is set as `lambda`."""
    return field[:-1] if keyword.iskeyword(field[:-1]) else field


def _field_name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _replaced(node: T, names: list[str], text: str, path: str) -> T:
    name, *rest = names
    values = _fields(node)
    if not rest and path in STAGES and name in values:
        return dataclasses.replace(node, **{name: _stage(path, text)})  # type: ignore[type-var]
    if name not in values or bool(rest) != dataclasses.is_dataclass(values[name]):
        known = ", ".join(
            f"{other}.*" if dataclasses.is_dataclass(value) else other
            for other, value in values.items()
        )
        raise UsageError(f"unknown setting {path}: {type(node).__name__} has {known or 'none'}")
    if rest:
        value = _replaced(values[name], rest, text, path)
    else:
        value = _parsed(text, typing.get_type_hints(type(node))[_field_name(name)], path)
    return dataclasses.replace(node, **{_field_name(name): value})  # type: ignore[type-var]


def _stage(path: str, text: str) -> Any:
    methods = {method.__name__.lower(): method for method in STAGES[path]}
    if text.lower() not in methods:
        raise UsageError(f"{path}={text}: expected one of {', '.join(methods)}")
    return methods[text.lower()]()


def _parsed(text: str, annotation: Any, path: str) -> Any:
    if isinstance(annotation, types.UnionType):  # "int | None"
        if text.lower() == "none":
            return None
        annotation = next(t for t in typing.get_args(annotation) if t is not types.NoneType)
    if annotation is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UsageError(f"{path}={text}: expected true or false")
    try:
        if typing.get_origin(annotation) is tuple:  # "tuple[int, ...]"
            item = typing.get_args(annotation)[0]
            return tuple(item(part) for part in text.split(",") if part)
        return annotation(text)
    except ValueError:
        expected = "a whole number" if annotation is int else "a number"
        raise UsageError(f"{path}={text}: expected {expected}") from None
