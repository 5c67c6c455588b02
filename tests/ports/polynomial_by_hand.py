"""PyTorch's "learning with examples", 1: a polynomial fitted to a sine, every gradient by hand."""

import math

import tinygrad_edu as tg

x = tg.linspace(-math.pi, math.pi, 2000)
y = tg.sin(x)

a = tg.full((), 0.5)
b = tg.full((), -0.3)
c = tg.full((), 0.8)
d = tg.full((), 0.1)

learning_rate = 1e-6
for t in range(500):
    # Forward: compute the predicted y.
    y_pred = a + b * x + c * x**2 + d * x**3

    loss = (y_pred - y).pow(2).sum().item()
    if t % 100 == 99:
        print(t, loss)

    # Backward: the gradients of a, b, c, d with respect to the loss, by hand.
    grad_y_pred = 2.0 * (y_pred - y)
    grad_a = grad_y_pred.sum()
    grad_b = (grad_y_pred * x).sum()
    grad_c = (grad_y_pred * x**2).sum()
    grad_d = (grad_y_pred * x**3).sum()

    a -= learning_rate * grad_a
    b -= learning_rate * grad_b
    c -= learning_rate * grad_c
    d -= learning_rate * grad_d

print(f"Result: y = {a.item()} + {b.item()} x + {c.item()} x^2 + {d.item()} x^3")
result = [a.item(), b.item(), c.item(), d.item()]
