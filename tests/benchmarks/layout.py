"""How long does it take to lay a computation out, by our own layout and by the program dot?

python tests/benchmarks/layout.py [--dot]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HOME = Path(__file__).parents[2]
sys.path.insert(0, str(HOME))

from tests import graphs_to_lay_out as graphs  # noqa: E402
from tinygrad_edu.layout import DotFailed, by_dot, layered  # noqa: E402

CASES = {  # and how many seconds our own may take
    "residual net, 200 boxes": (lambda: graphs.residual(20), 0.2),
    "residual net, 200 boxes, labels": (lambda: graphs.labelled(graphs.residual(20)), 0.2),
    "residual net, 2,000 boxes": (lambda: graphs.residual(200), 2),
    "residual net, 10,000 boxes": (lambda: graphs.residual(1000), 15),
    "RNN of 125 steps, 1,000 boxes": (lambda: graphs.rnn(125), 0.5),
    "RNN of 200 steps, a loss each": (lambda: graphs.rnn(200, losses=True), 1),
    "chain, 10,000 boxes": (lambda: graphs.chain(10_000), 10),
    "single numbers, 2,000 boxes": (lambda: graphs.scalars(2000), 2),
    "500 nested skips, 2,000 boxes": (lambda: graphs.nested_skips(2000), 3),
    "one box of 1,000 others": (lambda: graphs.fan_in(1000), 1),
}
LARGEST_FOR_DOT = 2500


def seconds(layout, graph):
    start = time.perf_counter()
    layout(*graph)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--dot", action="store_true", help="dot, too, where it takes seconds")
    dot = parser.parse_args().dot
    for name, (make, bar) in CASES.items():
        graph = make()
        taken = min(seconds(layered, graph) for _ in range(3))
        print(f"{name:33} builtin {taken:6.2f} (bar {bar})", end="")
        if dot and len(graph[0]) <= LARGEST_FOR_DOT:
            try:
                print(f"   dot {seconds(by_dot, graph):6.2f}", end="")
            except DotFailed as failed:
                print(f"   {failed}", end="")
        print()


if __name__ == "__main__":
    main()
