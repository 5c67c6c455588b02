"""Models: layers that can be trained by one call, in the habits of Keras.

model.py        what a model is; compile, fit, evaluate, predict, save and load
feeding.py      what it is fed with, as batches
scoring.py      how it is judged: the loss and the metrics
fitting.py      the loop that fit runs, in the open
history.py      what was noted of a training
progress.py     what one sees of it: a bar, or a line for each epoch
interrupts.py   how Ctrl-C ends it between two steps
"""

from tinygrad_edu.models.history import History
from tinygrad_edu.models.model import MLP, Model, Sequential

__all__ = ["MLP", "History", "Model", "Sequential"]
