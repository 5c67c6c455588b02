"""PyTorch's "learning with examples", 2: the same polynomial, its gradients by backward()."""

import math

import tinygrad_edu as tg

x = tg.linspace(-math.pi, math.pi, 2000)
y = tg.sin(x)

a = tg.full((), 0.5, requires_grad=True)
b = tg.full((), -0.3, requires_grad=True)
c = tg.full((), 0.8, requires_grad=True)
d = tg.full((), 0.1, requires_grad=True)

learning_rate = 1e-6
for t in range(500):
    y_pred = a + b * x + c * x**2 + d * x**3

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

print(f"Result: y = {a.item()} + {b.item()} x + {c.item()} x^2 + {d.item()} x^3")
result = [a.item(), b.item(), c.item(), d.item()]
