"""PyTorch's "learning with examples", 3: an op of one's own, the Legendre polynomial P3.

Where PyTorch has a class with a static forward and backward, here is one function.
"""

import math

import tinygrad_edu as tg


@tg.differentiable
def legendre_polynomial_3(x):
    """z = 1/2 (5 x^3 - 3 x)        dx = g 3/2 (5 x^2 - 1)"""
    return 0.5 * (5 * x**3 - 3 * x), lambda g: g * 1.5 * (5 * x**2 - 1)


x = tg.linspace(-math.pi, math.pi, 2000)
y = tg.sin(x)

a = tg.full((), 0.0, requires_grad=True)
b = tg.full((), -1.0, requires_grad=True)
c = tg.full((), 0.0, requires_grad=True)
d = tg.full((), 0.3, requires_grad=True)

learning_rate = 5e-6
for t in range(2000):
    y_pred = a + b * legendre_polynomial_3(c + d * x)

    loss = (y_pred - y).pow(2).sum()
    if t % 100 == 99:
        print(t, loss.item())

    loss.backward()

    with tg.no_grad():
        a -= learning_rate * a.grad
        b -= learning_rate * b.grad
        c -= learning_rate * c.grad
        d -= learning_rate * d.grad

        a.grad = None
        b.grad = None
        c.grad = None
        d.grad = None

print(f"Result: y = {a.item()} + {b.item()} * P3({c.item()} + {d.item()} x)")
result = [a.item(), b.item(), c.item(), d.item()]
