"""A chain of 1,000,000 ops: how long to build, to differentiate and to free, and how much memory?

python tests/benchmarks/long_chain.py [--ops 1000000]
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

from tinygrad_edu import Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ops", type=int, default=1_000_000)
    n = parser.parse_args().ops
    x = Tensor(1.0, requires_grad=True)

    start = time.perf_counter()
    y = x
    for _ in range(n):
        y = y + x
    built = time.perf_counter()
    y.backward()
    walked = time.perf_counter()
    del y
    freed = time.perf_counter()
    assert x.grad == n + 1
    print(f"{n:,} ops: built {built - start:.1f} s, differentiated {walked - built:.1f} s, "
          f"freed {freed - walked:.1f} s")  # fmt: skip

    tracemalloc.start()
    y = x
    for _ in range(n // 10):
        y = y + x
    print(f"{tracemalloc.get_traced_memory()[0] / (n // 10):.0f} bytes per op")


if __name__ == "__main__":
    main()
