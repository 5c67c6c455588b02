"""Where a gradient comes from: every contribution, every number of it, and a test of both.

    python examples/14_where_a_gradient_comes_from.py

A network that fits three points is small enough to ask it everything: which uses of a weight add up
to its gradient, which products make one number of it, and whether the loss really changes as the
gradient says. At the end the same questions find two things that go wrong in practice.
"""

import textwrap

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.graph.replay import check, replayed


def title(text):
    print(f"\n{text}\n{'-' * len(text)}")


# ---------------------------------------------------------------- the computation

# Three points in the plane, two hidden neurons, one number as the answer. The weight w is used
# twice: by the layer, and by a penalty that keeps it small.

x = tg.Tensor([[1.0, 2.0], [0.5, -1.0], [-1.5, 0.5]], name="x")
y = tg.Tensor([[1.0], [0.0], [0.5]], name="y")
w = tg.Tensor([[0.5, -0.3], [0.2, 0.8]], requires_grad=True)
b = tg.Tensor([0.1, -0.1], requires_grad=True)
v = tg.Tensor([[0.7], [-0.4]], requires_grad=True)

a = x @ w
h = tg.tanh(a + b)
error = h @ v - y
fit = (error * error).mean()
loss = fit + 0.1 * (w * w).sum()

title("Forward, step by step, and back")
tg.explain(loss)

# ---------------------------------------------------------------- one gradient

title("Where the gradient of w comes from")
tg.explain(w, of=loss)

# Three contributions: the layer hands one back, and the square two, since it is w times w and
# either factor may change. To add them up is all that backward does.

title("One number of it")
text = tg.explain(w, of=loss, index=(0, 1))

loss.backward()
print(f"\nand backward() says {w.grad[0, 1]:.4g}")
assert f"{w.grad[0, 1]:.4g}" in text

title("A bias is used once for every row")
tg.explain(b, of=loss)


# ---------------------------------------------------------------- is it true?

# A gradient is a promise: move this number by so little, and the loss moves by so much. The graph
# holds all that its ops were called with, so they can be run again on other numbers.

title("The promise, kept")
print("w[0, 1] moved by    the loss moved by    the gradient says")
here = replayed(loss, {})
for step in (1.0, 0.1, 0.01, 0.001):
    moved = w.data.astype(float)
    moved[0, 1] += step
    really = float(replayed(loss, {w: moved}) - here)
    print(f"{step:15g} {really:20.8f} {w.grad[0, 1] * step:20.8f}")

print("\nthe same for every number of every parameter, from both sides, with ever smaller steps:")
for name, parameter in {"w": w, "b": b, "v": v}.items():
    result = check(loss)[parameter]
    print(f"    {name}: {result.text}")
    assert result.agrees


# ---------------------------------------------------------------- what goes wrong

# A rule with a mistake in it trains, somehow. The slopes do not lie.


@tg.differentiable
def swish(x):
    """z = x / (1 + e^-x)        dx = g / (1 + e^-x)

    That forgets that x is there twice.
    """
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda g: g * s


title("A rule that is wrong")
t = tg.Tensor([-1.0, 0.5, 2.0], requires_grad=True)
wrong = swish(t).sum()
tg.explain(t, of=wrong, index=1)
assert not check(wrong)[t].agrees

# And where a function has a corner there is no one slope: the rule picks one, and that is no error.

title("A corner")
r = tg.Tensor([0.0, 1.0], requires_grad=True)
corner = tg.relu(r).sum()
tg.explain(r, of=corner, index=0)
assert check(corner)[r].kinks == 1

# A tensor that was cut off has no gradient, which is not the same as a gradient of 0.

title("Nothing to explain")
cut = (w.detach() * b).sum()
try:
    tg.explain(w, of=cut)
except ValueError as error:
    print(textwrap.fill(str(error), 90))
