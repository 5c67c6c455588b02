"""The slope of a parabola: what a derivative is, and what it is good for.

    python examples/01_slope_of_a_parabola.py

One function, x^2 + x, and four ways to its slope at 3: by trying, by hand, by `backward()`, and
once more for the slope of the slope. At the end the slope leads down to the lowest point.
"""

import math

import tinygrad_edu as tg


def f(x):
    return x * x + x


# ---------------------------------------------------------------- by trying

print("1. By trying: how much does f change when x changes a little?\n")
print("        h    (f(3 + h) - f(3)) / h")
for h in (1.0, 0.1, 0.01, 0.001):
    slope = (f(3 + h) - f(3)) / h
    print(f"    {h:5}    {slope:.3f}")
print("\n   The smaller the step h, the closer to 7. That limit is the derivative.")
assert math.isclose(slope, 7, abs_tol=0.01)


# ---------------------------------------------------------------- by hand

# School calculus: x^2 has the slope 2x, x has the slope 1, and slopes of a sum add up.
by_hand = 2 * 3 + 1
print(f"\n2. By hand: 2x + 1 at x = 3 is {by_hand}.")


# ---------------------------------------------------------------- by backward()

x = tg.Tensor(3.0, requires_grad=True)  # a number that wants to know its slope
y = f(x)  # f is ordinary Python; x takes notes of what is done to it
y.backward()  # and here the notes are read backwards

print(f"\n3. By backward(): f(3) = {y.item()}, with slope {x.grad}.")
print(f"   The last thing done was: {y.op.formula}")
print("   x arrives there three times: twice in x * x, once alone. So 3 + 3 + 1 = 7.")
assert x.grad == by_hand


# ---------------------------------------------------------------- the slope of the slope

x = tg.Tensor(3.0, requires_grad=True)
slope = tg.grad(f(x), x, create_graph=True)  # keeps notes of how the slope was computed
curvature = tg.grad(slope, x)

print(f"\n4. The slope of the slope: {curvature.item()}, everywhere: a parabola is evenly bent.")
assert slope.item() == 7
assert curvature.item() == 2


# ---------------------------------------------------------------- downhill

# Where the slope is positive the way down is to the left, where it is negative, to the right:
#
#     new value = old value - rate * slope
#
# The steps get shorter by themselves, since the slope fades out towards the lowest point, -1/2.


def descend(rate, steps=20):
    x = tg.Tensor(3.0, requires_grad=True)
    for _ in range(steps):
        y = f(x)
        y.backward()
        x.data = x.data - rate * x.grad
        x.zero_grad()  # else the next backward would add to this gradient
    return x.item()


print("\n5. Downhill from 3, 20 steps, towards the lowest point at -0.5:\n")
verdicts = {0.01: "too small: still on its way", 0.3: "there", 1.1: "too large: thrown out"}
for rate, verdict in verdicts.items():
    print(f"    rate {rate:<5} x = {descend(rate):9.4f}    {verdict}")
    # Every step multiplies the distance to -1/2 by 1 - 2 rate, so we know where it must end.
    assert math.isclose(descend(rate), -0.5 + 3.5 * (1 - 2 * rate) ** 20, rel_tol=1e-4)
