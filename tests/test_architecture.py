"""The house stays as it is drawn: no circles, few files in the hall, kinds that nobody asks for.

The layers themselves are `lint-imports`, by the contracts in pyproject.toml.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest
from helpers.paths import ROOT

import inr

PACKAGE = ROOT / "inr"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path, names=MODULES) -> set[str]:
    """Modules of the package that a file imports, wherever in it, for types alone too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else node.module)
    return found & set(names)


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """Some circle of a graph, as the nodes on the way; None where there is none."""
    done: set[str] = set()

    def search(node: str, way: list[str]) -> list[str] | None:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return None
        for other in sorted(graph[node]):
            found = search(other, [*way, node])
            if found is not None:
                return found
        done.add(node)
        return None

    return next((found for node in graph if (found := search(node, []))), None)


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_modules_import_in_no_circle():
    # The package itself is the names of users: it stands above all and nobody imports it.
    graph = {name: imports(path) - {name, "inr"} for name, path in MODULES.items()}
    assert circle(graph) is None


def test_few_files_lie_in_the_hall():
    assert len(list(PACKAGE.glob("*.py"))) <= 14


def test_nobody_asks_which_kind_something_is():
    asks = re.compile(r"\bKIND\b *[!=]=|(?<!dtype)\.kind *[!=]=|kind\.name *[!=]=")
    for path in MODULES.values():
        for line in path.read_text().splitlines():
            assert not asks.search(line), f"{path}: {line}"


def test_the_package_needs_neither_experiments_nor_scripts():
    for path in MODULES.values():
        names = re.findall(r"(?m)^ *(?:from|import) ([\w.]+)", path.read_text())
        assert not {name.split(".")[0] for name in names} & {"experiments", "scripts", "lab"}


# Tools that by nature work on what is inside; all else has the public names and the command line.
BELOW_THE_PUBLIC_NAMES = {
    "experiments/modulated_autoencoder/run.py": "trains models that no configuration has",
    "experiments/recode.py": "compares the entropy coders on the codes of one file",
    "scripts/bench.py": "times single steps of a fit of kind mlp",
    "scripts/bench_grid.py": "times single steps of kind grid, and its exact decoder beside floats",
    "scripts/hash_test_pictures.py": "writes a list that belongs to the package",
    "scripts/network_set.py": "reads and writes the sets that trainings of kind grid make",
    "scripts/ship_cae_model.py": "puts weights into assets/ that the package reads",
    "scripts/train_grid_analysis.py": "trains the network that predicts latents of kind grid",
    "scripts/train_grid_networks.py": "trains the networks that files of kind grid count from",
}


def uses_of_the_inside(path: Path) -> set[str]:
    """Names of the package that a file imports and that are not public."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("inr.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "inr":
            found |= {alias.name for alias in node.names} - set(inr.__all__)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inr."):
            found.add(node.module)
    return found


def test_experiments_and_scripts_use_the_public_names():
    files = [*(ROOT / "experiments").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    inside = {path.relative_to(ROOT).as_posix() for path in files if uses_of_the_inside(path)}
    assert inside == set(BELOW_THE_PUBLIC_NAMES)


@pytest.mark.parametrize("tool", BELOW_THE_PUBLIC_NAMES)
def test_tools_find_what_they_import(tool):
    """No other test runs all of them."""
    for node in ast.walk(ast.parse((ROOT / tool).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inr"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


@pytest.mark.parametrize("name", ["mlp", "grid", "cae"])
@pytest.mark.parametrize(
    "file", ["kind.py", "recipe.py", "file.py", "encode.py", "decode.py", "describe.py"]
)
def test_the_same_role_has_the_same_file_in_every_slice(name, file):
    assert (PACKAGE / name / file).exists()
