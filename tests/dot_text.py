"""Reading DOT back, for tests: what stands in which box, and which box is in which frame."""

import re
from xml.etree import ElementTree

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import MLP


def leaf(*numbers, name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, "float32")
    return tg.Tensor(data, requires_grad=True, name=name)


def boxes(text):
    """What stands in each box, row by row, by the key of the box."""
    found = {}
    for key, label in re.findall(r"^\t*(\w+) \[label=<(<TABLE.*?</TABLE>)> color", text, re.M):
        table = ElementTree.fromstring(label)
        cells = [["".join(cell.itertext()).strip() for cell in row] for row in table]
        found[key] = [" | ".join(filter(None, row)) for row in cells]
    return found


def looks(text):
    """The attributes of each box, but for its label."""
    lines = re.findall(r"^\t*(\w+) \[label=<<TABLE.*?</TABLE>> (.*)\]$", text, re.M)
    return {key: dict(re.findall(r'(\w+)="?([^" ]*)"?', rest)) for key, rest in lines}


def edges(text):
    """(source, target, attributes), those that are written from the op turned back."""
    found = []
    for a, b, rest in re.findall(r"^\t*(n\w+|c\w+) -> (\w+) \[(.*)\]$", text, re.M):
        turned = (
            (b, a) if int(re.findall(r"\d+", a)[-1]) > int(re.findall(r"\d+", b)[-1]) else (a, b)
        )
        found.append((*turned, rest))
    return found


def frames(text):
    """The boxes inside each frame, with those of frames inside; frames by what is written there."""
    open_frames, found = [], {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("subgraph"):
            open_frames.append("?")
        elif line == "{":
            open_frames.append(None)
        elif line == "}" and open_frames:
            open_frames.pop()
        elif "labeljust" in line:
            label = re.search(r"label=(<.*>) labeljust", line)[1]
            open_frames[-1] = re.sub(r"<[^>]*>", "", label[1:-1])
        elif match := re.match(r"(\w+) \[label=<<TABLE", line):
            for frame in open_frames:
                found.setdefault(frame, []).append(match[1])
    return found


def model_loss(seed=0):
    model = MLP(2, 3, 1, rng=seed)
    x = tg.Tensor(np.ones((4, 2), "float32"), name="x")
    return model, tg.losses.mean_squared_error(model(x), np.zeros((4, 1)))
