"""What does `import tinygrad_edu` cost on top of `import numpy`?

    python tests/benchmarks/import_time.py

Both are timed inside fresh interpreters, in turns; the ratio is that of the medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 25
# As after an installation: with the compiled files in place, which this variable would forbid.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
BAR = 1.25
TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    command = [sys.executable, "-c", TIMED.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return float(done.stdout)


def main() -> None:
    for module in ("numpy", "tinygrad_edu"):
        seconds(module)  # the files are in the cache from here on
    numpy, ours = [], []
    for _ in range(ROUNDS):
        numpy.append(seconds("numpy"))
        ours.append(seconds("tinygrad_edu"))
    a, b = statistics.median(numpy), statistics.median(ours)
    print(f"import numpy {1e3 * a:.0f} ms, import tinygrad_edu {1e3 * b:.0f} ms: "
          f"ratio {b / a:.2f} (bar {BAR})")  # fmt: skip


if __name__ == "__main__":
    main()
