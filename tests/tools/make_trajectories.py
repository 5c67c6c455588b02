"""Make tests/data/{keras,torch,optax}.npz and .json again, from the recorded trajectories.

    python tests/tools/make_trajectories.py FOLDER

FOLDER holds `public_keras.json` (the cases) and `public_keras.npz` (their arrays), and the same of
torch and optax. Kept are the cases of the optimizers named below, the gradient sequences they were
fed, and the regression data. tests/data/README.md says what a case is and where the recordings
come from.
"""

import json
import sys
from pathlib import Path

import numpy as np

LEFT_OUT = ("ASGD", "adan", "sophia")  # which this library does not have
TARGET = Path(__file__).parents[1] / "data"
KEPT = (
    *("id", "optimizer", "config", "kind", "stream", "steps", "param_shapes", "engine"),
    *("clipnorm_scope", "ns_dtype"),
)


def main(folder: Path) -> None:
    for library in ("keras", "torch", "optax"):
        source = folder / f"public_{library}"
        cases = [
            {key: case[key] for key in KEPT if key in case}
            for case in json.loads(source.with_suffix(".json").read_text(encoding="utf-8"))
            if case["optimizer"] not in LEFT_OUT
        ]
        prefixes = [f"{case['id']}/" for case in cases]
        prefixes += sorted({f"grads/{case['stream']}/" for case in cases if "stream" in case})
        prefixes += ["mlp/"]
        with np.load(source.with_suffix(".npz")) as recorded:
            arrays = {
                name: recorded[name] for name in recorded.files if name.startswith(tuple(prefixes))
            }
        target = TARGET / library
        lines = ",\n".join(json.dumps(case) for case in cases)
        target.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        np.savez_compressed(target.with_suffix(".npz"), **arrays)
        size = target.with_suffix(".npz").stat().st_size
        print(f"{target.name}: {len(cases)} cases, {size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
