"""A Keras 2 classic: XOR with Sequential, add, compile, fit, predict."""

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import Linear, Sigmoid, Tanh
from tinygrad_edu.models import Sequential
from tinygrad_edu.optimizers import SGD

tg.manual_seed(0)
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
y = np.array([[0], [1], [1], [0]])

model = Sequential()
model.add(Linear(2, 8))
model.add(Tanh())
model.add(Linear(8, 1))
model.add(Sigmoid())

sgd = SGD(lr=0.1, momentum=0.9, nesterov=True, decay=1e-6)
model.compile(loss="binary_crossentropy", optimizer=sgd, metrics=["accuracy"])

history = model.fit(X, y, batch_size=1, epochs=300, verbose=0)
loss, accuracy = model.evaluate(X, y, verbose=0)
predictions = model.predict(X)
print(predictions)
