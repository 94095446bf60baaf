"""Run the benchmarks named on the command line, or all; one JSON line per figure."""

from __future__ import annotations

import json
import sys

from tests.benchmarks.figures import BENCHMARKS


def main() -> None:
    """Print figures as they come."""
    for name in sys.argv[1:] or list(BENCHMARKS):
        for figure in BENCHMARKS[name]():
            print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
