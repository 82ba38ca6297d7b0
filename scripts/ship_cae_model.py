"""Puts a weights file among the shipped ones: assets/cae and the manifest.

    scripts/ship_cae_model.py FILE.npz --id N --data TEXT --licences TEXT --machine TEXT

FILE is what `inr cae export` wrote; its name in the manifest is that of its model. A number once
released is never used for other weights: give the next free one.
"""

import argparse
import json
import subprocess
from pathlib import Path

from inr.cae.weights import read_weights

ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--id", type=int, required=True)
    for name in ("data", "licences", "machine"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    data = given.file.read_bytes()
    weights = read_weights(data)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ASSETS.parent, capture_output=True, text=True, check=True
    ).stdout.strip()
    entry = {
        "id": given.id,
        "name": weights.name,
        "file": f"cae/{weights.name}.npz",
        "n_bytes": len(data),
        "sha256": weights.sha256,
        "data": given.data,
        "licences": given.licences,
        "machine": given.machine,
        "commit": commit,
        "training": weights.metadata,
    }
    path = ASSETS / "manifest.json"
    manifest = json.loads(path.read_text())
    others = [each for each in manifest["cae"] if each["name"] != weights.name]
    if any(each["id"] == given.id for each in others) or given.id < 1:
        raise SystemExit(f"--id {given.id} is another model's, or below 1")
    models = sorted([*others, entry], key=lambda each: each["id"])
    (ASSETS / entry["file"]).write_bytes(data)
    path.write_text(json.dumps(manifest | {"cae": models}, indent=1) + "\n")
    print(f"{entry['file']}: {len(data)} bytes, SHA-256 {weights.sha256}")


if __name__ == "__main__":
    main()
