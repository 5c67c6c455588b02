"""Writes the page that replays backward for some programs, and pictures of its main states.

    python docs/screenshots.py FOLDER

The pictures need Node.js, Chromium and the package playwright-core: see the first lines of
tests/test_explorer_browser.py.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import pages  # noqa: E402
from tinygrad_edu import explore  # noqa: E402

PROGRAMS = {"small": pages.small, "deep": pages.deep, "hostile": pages.hostile}
PHONE = {"width": 390, "height": 844}
STATES = {  # the page, where in it, and how it is looked at
    "overview": ("small", "", {}),
    "forward": ("small", "#step=4", {}),
    "backward": ("small", "#step=15", {}),
    "accumulation": ("small", "#step=17&node=n1", {}),
    "layers": ("small", "#step=16&view=2", {}),
    "dark": ("small", "#step=15", {"dark": True}),
    "phone": ("small", "#step=15", PHONE),
    "phone_dark": ("small", "#step=17&node=n1", {**PHONE, "dark": True}),
    "without_script": ("small", "", {"script": False}),
    "large": ("deep", "#step=150", {}),
    "large_layers": ("deep", "#step=150&view=2", {}),
    "hostile": ("hostile", "#step=12&node=n2", {}),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in PROGRAMS.items():
        print(explore(program, folder / f"{name}.html"))
    plans = [
        {
            "page": (folder / f"{page}.html").absolute().as_uri(),
            "hash": address,
            "actions": [{"wait": 300}, {"shot": str(folder / f"{name}.png")}],
            **options,
        }
        for name, (page, address, options) in STATES.items()
    ]
    script = ROOT / "tests" / "browser" / "drive.mjs"
    subprocess.run(
        ["node", str(script)], input=json.dumps(plans), encoding="utf-8", check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    print(*(folder / f"{name}.png" for name in STATES), sep="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
