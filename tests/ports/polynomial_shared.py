"""PyTorch's "learning with examples", 7: control flow in Python, and a weight used again."""

import math
import random

import tinygrad_edu as tg

random.seed(0)


class DynamicNet(tg.layers.Layer):
    def __init__(self):
        super().__init__()
        self.a = tg.full((), 0.5, requires_grad=True)
        self.b = tg.full((), -0.3, requires_grad=True)
        self.c = tg.full((), 0.8, requires_grad=True)
        self.d = tg.full((), 0.1, requires_grad=True)
        self.e = tg.full((), 0.2, requires_grad=True)

    def forward(self, x):
        y = self.a + self.b * x + self.c * x**2 + self.d * x**3
        for exp in range(4, random.randint(4, 6)):
            y = y + self.e * x**exp
        return y


x = tg.linspace(-math.pi, math.pi, 2000)
y = tg.sin(x)
model = DynamicNet()

optimizer = tg.optimizers.SGD(model.parameters(), lr=1e-8, momentum=0.9)
for t in range(500):
    y_pred = model(x)

    loss = tg.losses.mean_squared_error(y_pred, y, reduction="sum")
    if t % 100 == 99:
        print(t, loss.item())

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

result = [parameter.item() for parameter in model.parameters()]
