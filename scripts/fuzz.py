"""Feeds damaged .inr files to the decoder and checks that it keeps its word.

    python scripts/fuzz.py --cases 100000

What is tried, and what may come out, stands in tests/helpers/fuzz.py. No case may take more than
--max-seconds of the processor or --max-bytes of memory.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.fuzz import run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-seconds", type=float, default=2.0, help="of the processor, a case")
    parser.add_argument("--max-bytes", type=float, default=512e6, help="of memory, a case")
    given = parser.parse_args()
    cases = range(given.first, given.first + given.cases)
    summary = run(cases, given.seed, given.max_seconds, given.max_bytes)
    for kind, n in sorted(summary.n_refused.items(), key=lambda item: -item[1]):
        print(f"{n:8}  {kind}...")
    print(f"{summary.n_pictures:8}  gave a picture")
    print(f"slowest: case {summary.slowest_case}, {summary.slowest_seconds:.3f} s")
    print(f"memory: case {summary.peak_case}, {summary.peak_bytes / 1e6:.0f} MB")
    for failure in summary.failures[:20]:
        print("FAILED:", failure[:1000])
    print(f"{len(summary.failures)} of {given.cases} cases failed")
    sys.exit(1 if summary.failures else 0)


if __name__ == "__main__":
    main()
