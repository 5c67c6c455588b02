"""Rosenbrock's valley, by gradient descent and by Newton's method."""

import numpy as np

from tinygrad_edu.derivatives import grad, hessian


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


gradient = grad(rosenbrock)
curvature = hessian(rosenbrock)

x = np.array([-1.2, 1.0])
for _ in range(10_000):
    x = x - 1e-3 * gradient(x)
by_descent = x

x = np.array([-1.2, 1.0])
path = [x]
for _ in range(6):
    x = x - np.linalg.solve(curvature(x), gradient(x))
    path.append(x)
by_newton = x
print(by_descent, by_newton)
