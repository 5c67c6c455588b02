"""Make tests/data/keras_sgd_adam.npz and .json again, from the recorded Keras trajectories.

    python tests/tools/make_keras_trajectories.py FOLDER

FOLDER holds `public_keras.json` (the cases) and `public_keras.npz` (their arrays). Kept are the
cases of the optimizers named below, the gradient sequences they were fed, and the regression data;
left out are those that clip every array by a norm of its own, which this library does not do.
tests/data/README.md says what a case is and where the recordings come from.
"""

import json
import sys
from pathlib import Path

import numpy as np

OPTIMIZERS = ("SGD", "Adam")
TARGET = Path(__file__).parents[1] / "data" / "keras_sgd_adam"
KEPT = ("id", "optimizer", "config", "kind", "stream", "steps", "param_shapes", "engine")


def main(folder: Path) -> None:
    cases = [
        {key: case[key] for key in KEPT if key in case}
        for case in json.loads((folder / "public_keras.json").read_text(encoding="utf-8"))
        if case["optimizer"] in OPTIMIZERS and case.get("clipnorm_scope") != "per-array"
    ]
    prefixes = [f"{case['id']}/" for case in cases]
    prefixes += sorted({f"grads/{case['stream']}/" for case in cases if "stream" in case})
    prefixes += ["mlp/"]
    with np.load(folder / "public_keras.npz") as recorded:
        arrays = {
            name: recorded[name] for name in recorded.files if name.startswith(tuple(prefixes))
        }
    lines = ",\n".join(json.dumps(case) for case in cases)
    TARGET.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    np.savez_compressed(TARGET.with_suffix(".npz"), **arrays)
    print(f"{TARGET}: {len(cases)} cases, {TARGET.with_suffix('.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
