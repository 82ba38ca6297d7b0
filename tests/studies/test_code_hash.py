"""code_hash.py and sweep/origin.py: which code made a row, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

import inr
from inr.format.shipped import SHIPPED

SCRIPT = """
from pathlib import Path
from inr.studies.code_hash import code_hash
from inr.studies.sweep.origin import commit

def show(change):
    change()
    code_hash.cache_clear()
    print(code_hash(), commit())

folder = Path("inr")
def added(name, text):
    return lambda: (folder / name).write_text((folder / name).read_text() + text)

show(lambda: None)
show(added("studies/report.css", "/* only looks */"))
show(lambda: (folder / ".#fit.py").symlink_to("nowhere"))  # what an editor leaves
show(lambda: (folder / "assets" / "cae").rmdir())
show(added("image/metrics.py", "# changed"))
show(added("cae/training/test_pictures.txt", ""))
show(added("assets/manifest.json", " "))
show(lambda: (folder / "new.py").write_text(""))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """(hash, commit) before and after changes of a copy, as SCRIPT makes them."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(Path(inr.__file__).parent, folder / "inr", ignore=ignored)
    (folder / "inr/assets/cae").mkdir(parents=True)
    shutil.copy(SHIPPED.folder / "manifest.json", folder / "inr/assets")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        # As a hook of git runs it; git may not be asked about another checkout.
        env=os.environ | {"PYTHONPATH": str(folder), "GIT_DIR": str(ROOT / "tests")},
    )
    return [line.split() for line in done.stdout.splitlines()]


def test_the_hash_is_of_what_can_change_a_result(shown):
    hashes = [code for code, _ in shown]
    assert all(len(code) == 24 and set(code) <= set("0123456789abcdef") for code in hashes)
    first, looks, hidden, assets, *changed = hashes
    assert first == looks == hidden == assets
    assert changed[1] == changed[0]  # nothing was added
    assert len({first, *changed}) == 4


def test_without_a_checkout_the_commit_is_version_and_hash(shown):
    for code, commit in shown:
        assert commit.endswith(f"+{code[:8]}")
        assert commit[0].isdigit()


def test_the_commit_without_git(monkeypatch):
    from inr.studies.code_hash import code_hash
    from inr.studies.sweep.origin import commit

    monkeypatch.setenv("PATH", "")
    assert commit().endswith(f"+{code_hash()[:8]}")
