"""What ``import pocketbert`` costs a fresh process, beside a bare interpreter and transformers.

    python benchmarks/import_time.py [--rounds 9]

Milliseconds of wall time, medians of fresh processes that take turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CODE = {
    "bare interpreter": "pass",
    "import pocketbert": "import pocketbert",
    "pocketbert.DistilBertConfig": "import pocketbert; pocketbert.DistilBertConfig",
    "import transformers": "import transformers",
    "transformers.DistilBertConfig": "import transformers; transformers.DistilBertConfig",
}


def main() -> None:
    """Print one line a statement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(rounds + 1):
        for name, code in CODE.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - start) * 1e3)
    bare = statistics.median(times["bare interpreter"][1:])
    for name, values in times.items():
        median = statistics.median(values[1:])
        print(f"{name:32} {median:8.0f} ms   {median - bare:8.0f} ms more than bare")


if __name__ == "__main__":
    main()
