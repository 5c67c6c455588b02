"""PyTorch's "learning with examples", 4: the polynomial as layers and a loss."""

import math

import tinygrad_edu as tg

x = tg.linspace(-math.pi, math.pi, 2000)
y = tg.sin(x)

p = tg.tensor([1, 2, 3])
xx = x.unsqueeze(-1).pow(p)

model = tg.layers.Sequential(tg.layers.Linear(3, 1), tg.layers.Reshape())
with tg.no_grad():
    for param in model.parameters():
        param *= 0

learning_rate = 1e-6
for t in range(500):
    y_pred = model(xx)

    loss = tg.losses.mean_squared_error(y_pred, y, reduction="sum")
    if t % 100 == 99:
        print(t, loss.item())

    model.zero_grad()
    loss.backward()

    with tg.no_grad():
        for param in model.parameters():
            param -= learning_rate * param.grad

linear_layer = model[0]
print(f"Result: y = {linear_layer.bias.item()} + ...")
result = [linear_layer.bias.item(), *linear_layer.weight[:, 0].tolist()]
