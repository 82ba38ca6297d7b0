"""Puts trained files of kind grid among the shipped ones: assets/grid and the manifest.

    scripts/ship_grid_start.py PRIOR ANALYSIS --data TEXT --licences TEXT --machine TEXT \
        --training TEXT

PRIOR is what train_grid_networks.py wrote, ANALYSIS what train_grid_analysis.py wrote. Before the
first release set 2 may be replaced; afterwards files are counted from it, and it never changes.
"""

import argparse
import hashlib
import json
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prior", type=Path)
    parser.add_argument("analysis", type=Path)
    for name in ("data", "licences", "machine", "training"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    facts = {name: vars(given)[name] for name in ("data", "licences", "machine", "training")}
    path = ASSETS / "manifest.json"
    manifest = json.loads(path.read_text())
    prior = _ship(given.prior, 2, "prior_2", "scripts/train_grid_networks.py")
    others = [each for each in manifest["grid"] if each["id"] != 2]
    manifest["grid"] = [*others, prior | facts]
    analysis = _ship(given.analysis, 1, "analysis", "scripts/train_grid_analysis.py")
    manifest["grid_analysis"] = [analysis | facts]
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def _ship(source: Path, number: int, name: str, made_by: str) -> dict[str, int | str]:
    """Copy a file, and return its entry."""
    data, file = source.read_bytes(), f"grid/{name}.npz"
    (ASSETS / file).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    print(f"{file}: {len(data)} bytes, SHA-256 {sha256}")
    entry = {"id": number, "name": name, "file": file, "n_bytes": len(data), "sha256": sha256}
    return entry | {"made_by": made_by}


if __name__ == "__main__":
    main()
