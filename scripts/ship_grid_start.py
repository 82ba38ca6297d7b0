"""Puts trained files of kind grid among the shipped ones: assets/grid and the manifest.

    scripts/ship_grid_start.py [--analysis FILE [--screens]] [--prior FILE --number N] \
        --data TEXT --licences TEXT --machine TEXT --training TEXT

FILE is what train_grid_analysis.py or train_grid_networks.py wrote. Files do not know the analysis
network: another takes its place. A set of networks gets a number that no set has yet, since files
are counted from it.
"""

import argparse
import hashlib
import json
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--analysis", type=Path)
    parser.add_argument("--screens", action="store_true", help="the analysis network is for these")
    parser.add_argument("--prior", type=Path)
    parser.add_argument("--number", type=int, help="of the prior's set")
    for name in ("data", "licences", "machine", "training"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    facts = {name: vars(given)[name] for name in ("data", "licences", "machine", "training")}
    path = ASSETS / "manifest.json"
    manifest = json.loads(path.read_text())
    if given.prior is not None:
        n = given.number
        if n is None or any(entry["id"] == n for entry in manifest["grid"]):
            raise SystemExit(f"--number {n}: expected one that no shipped set has")
        made_by = "scripts/train_grid_networks.py"
        manifest["grid"].append(_ship(given.prior, n, f"prior_{n}", made_by) | facts)
    if given.analysis is not None:
        number, name = (2, "analysis_screens") if given.screens else (1, "analysis")
        analysis = _ship(given.analysis, number, name, "scripts/train_grid_analysis.py")
        others = [entry for entry in manifest["grid_analysis"] if entry["id"] != number]
        manifest["grid_analysis"] = sorted(
            [*others, analysis | facts], key=lambda entry: entry["id"]
        )
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
