"""Puts trained files of kind grid among the shipped ones: assets/grid and the manifest.

    scripts/ship_grid_start.py [--analysis FILE --for USE] [--prior FILE --number N] \
        --data TEXT --licences TEXT --machine TEXT --training TEXT

FILE is what train_grid_analysis.py or train_grid_networks.py wrote. Files do not know the analysis
network: another takes its place, its numbers with MANTISSA_BITS bits, so that all networks are
small. A set of networks gets a number that no set has yet, since files are counted from it.
"""

import argparse
import hashlib
import io
import json
from pathlib import Path

import numpy as np

# use -> number and name of its analysis network
ANALYSIS = {
    "fits": (1, "analysis"),
    "screens": (2, "analysis_screens"),
    "instant": (3, "analysis_instant"),
}
MANTISSA_BITS = 6  # behind the first; a number is then off by 0.4 %, at most 0.8 %
ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--analysis", type=Path)
    parser.add_argument("--for", dest="use", choices=ANALYSIS, help="what the analysis is for")
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
        made_by = f"scripts/train_grid_{'networks' if given.analysis is None else 'analysis'}.py"
        manifest["grid"].append(_ship(given.prior.read_bytes(), n, f"prior_{n}", made_by) | facts)
    if given.analysis is not None:
        if given.use is None:
            raise SystemExit(f"--analysis needs --for {'|'.join(ANALYSIS)}")
        number, name = ANALYSIS[given.use]
        data = with_fewer_bits(given.analysis)
        analysis = _ship(data, number, name, "scripts/train_grid_analysis.py")
        others = [entry for entry in manifest["grid_analysis"] if entry["id"] != number]
        manifest["grid_analysis"] = sorted(
            [*others, analysis | facts], key=lambda entry: entry["id"]
        )
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def with_fewer_bits(source: Path) -> bytes:
    """Return the float16 tensors with mantissas of MANTISSA_BITS bits, packed."""
    unit = 1 << (10 - MANTISSA_BITS)  # of the 10 bits that are stored
    packed = io.BytesIO()
    with np.load(source) as stored:
        tensors = {}
        for name in stored.files:
            bits = stored[name].view(np.uint16).astype(np.uint32)  # a carry goes to the exponent
            tensors[name] = ((bits + unit // 2) // unit * unit).astype(np.uint16).view(np.float16)
    np.savez_compressed(packed, **tensors)
    return packed.getvalue()


def _ship(data: bytes, number: int, name: str, made_by: str) -> dict[str, int | str]:
    """Write a file, and return its entry."""
    file = f"grid/{name}.npz"
    (ASSETS / file).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    print(f"{file}: {len(data)} bytes, SHA-256 {sha256}")
    entry = {"id": number, "name": name, "file": file, "n_bytes": len(data), "sha256": sha256}
    return entry | {"made_by": made_by}


if __name__ == "__main__":
    main()
