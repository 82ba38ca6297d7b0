"""What the tests of the command line share: how to run it, and small pictures."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageCms

from inr.cli import main as cli

SMALL = ("--set", "fit.steps=5", "--set", "field.hidden=4", "--set", "field.n_layers=1")
UNTRAINED = ("--set", "fit.steps=0", *SMALL[2:])  # the first weights: there is nothing to compile
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))

    def failed(self, pattern: str) -> None:
        """One line on stderr that begins with error:, nothing on stdout, exit code 1."""
        assert (self.code, self.out) == (1, ""), self.err
        assert re.fullmatch(r"error: [^\n]+\n", self.err)
        assert "Traceback" not in self.err
        assert re.search(pattern, self.err), self.err


def main_runner(monkeypatch, capsys):
    """A function that runs main() in this process, to be fast."""

    def run_main(*arguments) -> Ran:
        monkeypatch.setattr(sys, "argv", ["inr", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(end.value.code or 0, out, err)

    return run_main


def run_process(*arguments, before="", timeout=120) -> Ran:
    code = f"{before}\nfrom inr.cli.main import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def run_shell(command: str, *, data=b"", **env) -> subprocess.CompletedProcess:
    """Runs a line of the shell, in which `inr` is the command line, on bytes."""
    inr = f'inr() {{ {shlex.quote(sys.executable)} -m inr "$@"; }}'
    return subprocess.run(
        ["sh", "-c", f"{inr}\n{command}"],
        input=data,
        capture_output=True,
        timeout=120,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | env,
    )


def noise(height=12, width=16, n_channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, n_channels), np.uint8)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def opened(name):
    with Image.open(name) as image:
        return np.asarray(image)
