"""Processes that are killed while they save: `python -m tests.killed PATH TIMES`.

Each child saves steps 1, 2, 3... to the same path, saying so in memory that it shares with us, and
is killed at a random moment. What is in the file must be the last step whose save was over, or the
one that was being saved. Prints how often the one and the other was found.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time

import numpy as np

import tinygrad_edu as tg

SIZE = 20_000  # numbers: a few writes each


def save_on_and_on(path, shared):
    step = int(shared[0])
    while True:
        step += 1
        shared[0] = step
        tg.save(path, {"step": step, "numbers": np.full(SIZE, step)})
        shared[1] = step


def main(path, times):
    shared = np.frombuffer(mmap.mmap(-1, 16), dtype=np.int64)  # the step begun, and the one over
    rng, found = np.random.default_rng(), [0, 0]
    tg.save(path, {"step": 0, "numbers": np.full(SIZE, 0)})
    for _ in range(times):
        before, child = int(shared[1]), os.fork()
        if child == 0:
            save_on_and_on(path, shared)
        while shared[1] == before:  # one save at least
            time.sleep(0.0002)
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        run = tg.load(path)
        assert run["step"] in shared, (run["step"], shared)
        assert (run["numbers"] == run["step"]).all()
        found[0 if run["step"] == shared[0] else 1] += 1
        shared[:] = run["step"]
    print(*found)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
