"""A neuron by hand: every gradient from school calculus, beside the one from backward().

    python examples/02_a_neuron_by_hand.py
    python examples/02_a_neuron_by_hand.py neuron.dot    also writes its picture, as DOT text

The neuron adds up its inputs, each with a weight, and squashes the sum to between 0 and 1. The loss
says how far that is from what we wished for:

    s = w1 x1 + w2 x2 + b        z = 1 / (1 + e^-s)        loss = (z - wish)^2
"""

import math
import sys
from pathlib import Path

import tinygrad_edu as tg
from tinygrad_edu.drawing import to_dot

x1, x2, wish = 2.0, -1.0, 1.0
w1, w2, b = -0.5, 0.25, 0.75


# ---------------------------------------------------------------- forward, by hand

s = w1 * x1 + w2 * x2 + b
z = 1 / (1 + math.exp(-s))
loss = (z - wish) ** 2


# ---------------------------------------------------------------- backward, by hand

# From the loss back to the weights, one link of the chain at a time. `dz` is short for d loss / dz.
# Every line is: what arrived so far, times the slope of this one link.

dz = 2 * (z - wish)
ds = dz * z * (1 - z)  # the slope of the squashing function is z (1 - z)
dw1, dx1 = ds * x1, ds * w1  # in a product, the slope in one factor is the other factor
dw2, dx2 = ds * x2, ds * w2
db = ds  # and in a sum it is 1

by_hand = {"x1": dx1, "x2": dx2, "w1": dw1, "w2": dw2, "b": db, "s": ds, "z": dz, "loss": 1.0}


# ---------------------------------------------------------------- the same with Tensors


def neuron(values):
    """The same three formulas, on Tensors: all of them, the inner ones included, by name."""
    t = {name: tg.Tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    t["s"] = t["w1"] * t["x1"] + t["w2"] * t["x2"] + t["b"]
    t["z"] = tg.sigmoid(t["s"])
    t["loss"] = (t["z"] - wish) ** 2
    return t


tensors = neuron({"x1": x1, "x2": x2, "w1": w1, "w2": w2, "b": b})
for name in ("s", "z", "loss"):
    tensors[name].name = name
    tensors[name].retain_grad()  # gradients of inner tensors are kept only where asked for
tensors["loss"].backward()

print("        value    gradient by hand    by backward()")
for name, t in tensors.items():
    print(f"{name:>4} {t.item():8.4f}    {by_hand[name]:16.5f}    {t.grad:13.5f}")
    assert math.isclose(t.grad, by_hand[name], rel_tol=1e-5)  # float32 holds about 7 digits
assert math.isclose(tensors["loss"].item(), loss, rel_tol=1e-5)


# ---------------------------------------------------------------- reading the table

# x2 is negative, so w2's gradient has the other sign: raising w2 lowers s. The loss falls when s
# rises (the wish is 1, and z is below it), so ds is negative.
assert ds < 0
assert dw1 < 0 < dw2

# A step against the gradient makes the loss smaller. How much smaller, the gradient foretells:
# about rate * (the sum of its squares), for a rate that is not too large.
rate = 0.1
weights = {"w1": w1 - rate * dw1, "w2": w2 - rate * dw2, "b": b - rate * db}
after = neuron({"x1": x1, "x2": x2, **weights})["loss"].item()
foretold = loss - rate * (dw1**2 + dw2**2 + db**2)
print(f"\nOne step of rate {rate}: the loss falls from {loss:.4f} to {after:.4f};")
print(f"the gradient foretold {foretold:.4f}.")
assert after < loss
assert math.isclose(after, foretold, abs_tol=0.01)

if sys.argv[1:]:
    picture = Path(sys.argv[1])
    picture.write_text(to_dot(tensors["loss"]), encoding="utf-8")
    print(f"\nThe computation as a picture: dot -Tsvg -O {picture}")
