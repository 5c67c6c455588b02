"""Make tinygrad_edu/datasets/digits.npz again, from scikit-learn's copy of the UCI digits.

    pip install scikit-learn
    python tests/tools/make_digits.py

Only the storage changes: scikit-learn keeps text that it reads as float64, the file here keeps the
same whole numbers (0 to 16, and the labels 0 to 9) as bytes, in the same order.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[2] / "tinygrad_edu" / "datasets" / "digits.npz"


def main() -> None:
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    if not np.array_equal(images, digits.images):
        raise ValueError("the pixels are no longer whole numbers from 0 to 16")
    np.savez_compressed(TARGET, images=images, labels=labels)
    print(f"{TARGET}: {len(images)} images, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
