"""A line through points, without an optimizer: the loop in the open, in its three classic forms.

    python examples/03_a_line_without_an_optimizer.py

All three repeat one line, new value = old value - learning rate * gradient. They differ in how many
points they look at before each step: all of them, one, or a batch.
"""

import numpy as np

from tinygrad_edu.training import evaluate_gradient, get_batches

# ---------------------------------------------------------------- points, and how wrong a line is

rng = np.random.default_rng(0)
x = rng.standard_normal(200)
data = np.column_stack([x, 2 * x + 1 + 0.5 * rng.standard_normal(200)])  # a point a row


def loss_function(data, params):
    """The mean squared distance, upwards or downwards, of the points from the line."""
    x, y = np.atleast_2d(data).T  # one point alone is a batch of one
    slope, offset = params
    return ((slope * x + offset - y) ** 2).mean()


# For a line the best answer is known: least squares. So we can say how far each loop gets.
best = np.polyfit(data[:, 0], data[:, 1], 1)
lowest = loss_function(data, best)
print(f"Best possible: slope {best[0]:.3f}, offset {best[1]:.3f}, loss {lowest:.4f}\n")

learning_rate = 0.05


# ---------------------------------------------------------------- batch: all points, then one step

params, batch_path = np.zeros(2), []
for _ in range(100):
    params_grad = evaluate_gradient(loss_function, data, params)
    params = params - learning_rate * params_grad
    batch_path.append(params)


# ---------------------------------------------------------------- stochastic: a step for each point

params, stochastic_path = np.zeros(2), []
for _ in range(5):
    rng.shuffle(data)
    for example in data:
        params_grad = evaluate_gradient(loss_function, example, params)
        params = params - learning_rate * params_grad
        stochastic_path.append(params)


# ---------------------------------------------------------------- mini-batch: a step for every 50

params, mini_batch_path = np.zeros(2), []
for _ in range(25):
    rng.shuffle(data)
    for batch in get_batches(data, batch_size=50):
        params_grad = evaluate_gradient(loss_function, batch, params)
        params = params - learning_rate * params_grad
        mini_batch_path.append(params)


# ---------------------------------------------------------------- compared

# How many steps until the loss is within 10 % of the lowest, and how many points were looked at for
# them? And at the end, over the last 20 steps: how far above the lowest is the loss on average?

print("                                       within 10 %:")
print("              slope  offset  steps   steps   points   above lowest at the end")
points, above = {}, {}
for name, size, path in (
    ("batch", 200, batch_path),
    ("stochastic", 1, stochastic_path),
    ("mini-batch", 50, mini_batch_path),
):
    excess = np.array([loss_function(data, params) / lowest - 1 for params in path])
    steps = int(np.argmax(excess < 0.1)) + 1
    points[name], above[name] = steps * size, excess[-20:].mean()
    slope, offset = path[-1]
    print(
        f"{name:<12} {slope:6.3f}  {offset:6.3f}  {len(path):5}   {steps:5}   {points[name]:6}"
        f"   {above[name]:23.2%}"
    )
    np.testing.assert_allclose(path[-1], best, atol=0.3)

print("""
batch        goes straight down and settles, but looks at every point for every step;
stochastic   is near the lowest after few points, then never rests: each pulls its own way;
mini-batch   goes down in as many steps as batch, each at a quarter of the cost, and settles
             nearly as well.""")

assert points["stochastic"] < points["mini-batch"] < points["batch"]
assert above["batch"] < above["mini-batch"] < above["stochastic"]
