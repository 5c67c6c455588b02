"""PyTorch's "learning with examples", 5: the same, with an optimizer."""

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

learning_rate = 1e-3
optimizer = tg.optimizers.RMSprop(model.parameters(), lr=learning_rate, rho=0.99, epsilon=1e-8)
for t in range(2000):
    y_pred = model(xx)

    loss = tg.losses.mean_squared_error(y_pred, y, reduction="sum")
    if t % 100 == 99:
        print(t, loss.item())

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

linear_layer = model[0]
print(f"Result: y = {linear_layer.bias.item()} + ...")
result = [linear_layer.bias.item(), *linear_layer.weight[:, 0].tolist()]
