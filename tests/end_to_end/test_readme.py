"""What README and the chapters say: links lead somewhere, code runs, commands and files exist."""

import ast
import functools
import re
import shlex

import numpy as np
import pytest
import typer.main
from helpers.paths import ROOT
from PIL import Image

import inr
from inr.cli.main import app
from inr.mlp.recipe import STAGES
from inr.recipes import all_recipes

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in (ROOT, ROOT / ".github", *(ROOT / name for name in ("inr", "experiments")))
    for path in sorted(folder.glob("*.md" if folder == ROOT else "**/*.md"))
} | {"assets/README.md": (ROOT / "assets" / "README.md").read_text(encoding="utf-8")}
MODULES = sorted((ROOT / "inr").rglob("*.py"))


def blocks(language):
    """(page, text) of all fenced blocks in a language."""
    found = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [(page, block) for page, text in PAGES.items() for block in found.findall(text)]


def anchors(page):
    """What `#...` can name in a page: its headings, as code hosts spell them."""
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), link


@pytest.mark.slow  # a whole fit, if of a picture of 256 pixels
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    ((_, code),) = [block for block in blocks("python") if block[0] == "README.md"]
    monkeypatch.chdir(tmp_path)
    ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    Image.fromarray(np.stack([ramp, ramp.T, 255 - ramp], axis=2)).save("photo.png")
    names: dict = {}
    exec(code, names)
    assert names["pixels"].shape == (32, 32, 3)
    assert names["thumbnail"].size == (96, 64)


@pytest.mark.parametrize(("page", "code"), [b for b in blocks("python") if b[0] != "README.md"])
def test_the_python_of_chapters_runs(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": page})


def test_the_container_of_the_chapter_reads_golden_files():
    names: dict = {}
    ((_, code),) = [block for block in blocks("python") if block[0] == "inr/format/README.md"]
    exec(code, names)
    for path in sorted((ROOT / "tests" / "golden" / "v1").glob("*.inr")):
        data = path.read_bytes()
        kind, size, _, sections = names["read_container"](data)
        told = inr.describe(data)
        assert ("mlp", "grid", "cae")[kind] == told["kind"]
        assert size == tuple(told[name] for name in ("height", "width", "n_channels", "bit_depth"))
        assert sorted(map(len, sections.values())) == sorted(told["sections"].values())


@functools.cache
def commands():
    """The options of each command, by its words behind `inr`."""
    found, groups = {}, [((), typer.main.get_command(app))]
    while groups:
        words, group = groups.pop()
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append(((*words, name), command))
            else:
                options = [option for p in command.params for option in p.opts + p.secondary_opts]
                found[(*words, name)] = {"--help", *options}
    return found


def lines_of_commands():
    """(page, words) of all lines that a reader may type, and of `inr ...` in running text."""
    for page, block in blocks("console"):
        for line in block.replace("\\\n", " ").splitlines():
            assert line.startswith("$ "), f"{page}: {line}"
            yield page, shlex.split(line[2:], comments=True)
    for page, text in PAGES.items():
        text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for code in re.findall(r"`([^`]+)`", text):
            if re.match(r"inr [a-z]+|scripts/|python (scripts|experiments)/", code):
                yield page, code.replace("|", " ").split()


def test_commands_have_the_options_that_pages_give_them():
    n_checked = 0
    for page, words in lines_of_commands():
        if words[0] != "inr" or words[1].isupper():
            continue
        name = next((n for n in (tuple(words[1:3]), tuple(words[1:2])) if n in commands()), None)
        assert name is not None or words[1:2] == ["cae"], f"{page}: {' '.join(words)}"
        for word in words[1:]:
            if name is not None and re.match(r"--?[a-z][^*]*$", word):
                assert word.split("=")[0] in commands()[name], f"{page}: {word} of {words}"
                n_checked += 1
    assert n_checked > 30


def test_scripts_that_pages_name_exist():
    for page, words in lines_of_commands():
        program = words[1] if words[0] in ("python", "python3") and len(words) > 1 else words[0]
        if "/" in program:
            assert (ROOT / program).exists(), f"{page}: {' '.join(words)}"


def test_the_readme_names_every_recipe():
    for name in all_recipes():
        assert f"| `{name}` |" in PAGES["README.md"]


def test_the_chapter_of_mlp_names_every_method():
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", PAGES["inr/mlp/README.md"], re.MULTILINE))
    named = {stage: re.findall(r"\[(\w+)\]", row) for stage, row in rows.items()}
    methods = {stage: [cls.__name__.lower() for cls in known] for stage, known in STAGES.items()}
    assert named == methods


@functools.cache
def all_files():
    folders = ("inr", "tests", "scripts", "experiments", "assets", ".github")
    return [
        f"/{path.relative_to(ROOT).as_posix()}" for f in folders for path in (ROOT / f).rglob("*")
    ]


def missing_files(text, endings="py|md|json|npz|css|js"):
    """Files that a text names and that are nowhere."""
    named = re.findall(rf"(?<![\w./{{*-])[\w./-]*\w\.(?:{endings})\b(?!\.)", text)
    return {name for name in named if not any(f.endswith(f"/{name}") for f in all_files())}


# Of users, made by commands, or of other programs.
NOT_OURS = {
    "report.html",
    "my.npz",
    "model.npz",
    "lpips.py",
    "FILE.npz",
    "NAME.npz",
    "README.md",
    "CHANGELOG.md",
}


@pytest.mark.parametrize("page", PAGES)
def test_files_that_pages_name_exist(page):
    text = re.sub(r"\]\([^)]*\)", "]", PAGES[page])
    assert missing_files(text) - NOT_OURS == set()


def prose(path):
    """Comments and docstrings of a module."""
    text = path.read_text(encoding="utf-8")
    nodes = [
        n
        for n in ast.walk(ast.parse(text))
        if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    return "\n".join([ast.get_docstring(n) or "" for n in nodes] + re.findall(r"# .*", text))


def test_files_that_docstrings_name_exist():
    wrong = {
        path.relative_to(ROOT).as_posix(): names
        for path in MODULES
        if (names := missing_files(prose(path), "py") - NOT_OURS)
    }
    assert wrong == {}
