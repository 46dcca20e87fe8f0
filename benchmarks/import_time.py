"""What ``import pocketbert`` costs a fresh process, beside a bare interpreter and transformers.

    python benchmarks/import_time.py [--rounds 9]

Milliseconds of wall time, medians of fresh processes that take turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

from pocketbert.bench.timing import interleaved, medians

CODE = {
    "bare interpreter": "pass",
    "import pocketbert": "import pocketbert",
    "pocketbert.DistilBertConfig": "import pocketbert; pocketbert.DistilBertConfig",
    "import transformers": "import transformers",
    "transformers.DistilBertConfig": "import transformers; transformers.DistilBertConfig",
}


def run(code: str) -> None:
    """Run a statement in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    """Print a line per statement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    code = {name: code for name, code in CODE.items() if find_spec("transformers") or "transformers" not in name}
    times = medians(interleaved({name: partial(run, code) for name, code in code.items()}, rounds, warmups=1))
    for name, seconds in times.items():
        more = seconds - times["bare interpreter"]
        print(f"{name:32} {seconds * 1e3:8.0f} ms   {more * 1e3:8.0f} ms more than bare")


if __name__ == "__main__":
    main()
