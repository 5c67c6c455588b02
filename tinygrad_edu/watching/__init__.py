"""The watch: what goes wrong in trainings without an error, said while it goes wrong.

    with tg.watch(model):
        model.fit(x, y, epochs=10)

Read in this order:

    listening.py   how a training is heard, and how all is put back
    seen.py        what there is to see: a model, and what a backward walked through
    findings.py    what is said
    gradients.py   pitfalls of gradients, optimizers and steps
    signals.py     pitfalls of data, units and modes
    watcher.py     `watch`, which brings them together

The thresholds stand at the top of gradients.py and signals.py, each with its reason.
"""

from tinygrad_edu.watching.findings import Finding, PitfallWarning
from tinygrad_edu.watching.watcher import Watch, watch

__all__ = ["Finding", "PitfallWarning", "Watch", "watch"]
