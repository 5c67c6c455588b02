"""HIPS autograd's README: tanh, its slope, and the slopes of its slopes."""

import numpy as np

from tinygrad_edu.derivatives import elementwise_grad as egrad
from tinygrad_edu.derivatives import grad


def tanh(x):
    return (1.0 - np.exp(-2 * x)) / (1.0 + np.exp(-2 * x))


grad_tanh = grad(tanh)
print(grad_tanh(1.0))
print((tanh(1.0001) - tanh(0.9999)) / 0.0002)  # compare to finite differences

x = np.linspace(-7, 7, 200)
curves = [
    tanh(x),
    egrad(tanh)(x),
    egrad(egrad(tanh))(x),
    egrad(egrad(egrad(tanh)))(x),
    egrad(egrad(egrad(egrad(tanh))))(x),
    egrad(egrad(egrad(egrad(egrad(tanh)))))(x),
    egrad(egrad(egrad(egrad(egrad(egrad(tanh))))))(x),
]
