"""Checkpoints: what was learned, on disk, and back again to the bit.

files.py           save and load: one file in the format of safetensors, with a checksum
packing.py         live things as arrays and plain words, and back
filling.py         what was saved goes back into live objects, all of it or nothing
atomic.py          files are written whole or not at all
torch_weights.py   how PyTorch calls things
"""

from tinygrad_edu.checkpoints.files import export_npz, load, save
from tinygrad_edu.checkpoints.packing import CheckpointError
from tinygrad_edu.checkpoints.torch_weights import from_torch

__all__ = ["CheckpointError", "export_npz", "from_torch", "load", "save"]
