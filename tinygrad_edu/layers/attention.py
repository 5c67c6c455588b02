"""Attention: everything in a sequence looks at everything, and takes what fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.layers.basic import Linear
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.layers.settings import share, whole
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(Layer):
    """Several attentions side by side, each on a projection of its own: `heads` ways to look.

    z = output(heads side by side), head = softmax(q k^T / sqrt(d)) v, d = size / heads
    q, k, v = the head's columns of query(query), key(key), value(value)

    query is (batch, n, size), key and value (batch, m, size), the result (batch, n, size). The
    value is the key if left out, and the key the query: self-attention. With `causal=True` query i
    looks at keys 0..i only. In training each weight is dropped with probability `dropout`.

    `mask`, of bools, is True where one may look. With two axes it is (batch, m) and says which keys
    there are, as the masks of the recurrent layers; with three, (batch, n, m) or (1, n, m), it says
    for each query what it may look at. A query with nothing to look at takes nothing: zeros.

    With `return_weights=True` forward gives `(z, weights)`, where weights (batch, heads, n, m) are
    the shares, each row's sum 1, before any are dropped.
    Vaswani et al. 2017, "Attention is all you need".

    >>> attention = MultiHeadAttention(size=8, heads=2, causal=True, rng=0)
    >>> x = np.ones((1, 3, 8), dtype="float32")
    >>> z, weights = attention(x, return_weights=True)
    >>> z.shape, weights.shape
    ((1, 3, 8), (1, 2, 3, 3))
    >>> weights.data[0, 0].round(2)
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]], dtype=float32)
    """

    def __init__(
        self,
        size: int,
        heads: int,
        bias: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        rng: Rng = None,
    ) -> None:
        size = whole("MultiHeadAttention: size", size)
        heads = whole("MultiHeadAttention: heads", heads)
        if size % heads:
            raise ValueError(
                f"MultiHeadAttention: size={size} does not split into heads={heads} of equal size."
            )
        generator = as_generator(rng)  # one for all: a seed given four times would draw the same
        self.query = Linear(size, size, bias, rng=generator)
        self.key = Linear(size, size, bias, rng=generator)
        self.value = Linear(size, size, bias, rng=generator)
        self.output = Linear(size, size, bias, rng=generator)
        self.size, self.heads, self.causal = size, heads, causal
        self.dropout = share("MultiHeadAttention: dropout", dropout, one=False)
        self.rng = rng if rng is None else generator

    def forward(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        mask: Any = None,
        return_weights: bool = False,
    ) -> Any:
        key = query if key is None else key
        value = key if value is None else value
        self._check(np.shape(query), np.shape(key), np.shape(value))
        if mask is not None:
            mask = self._for_heads(np.asarray(plain(mask)), np.shape(query), np.shape(key))
        q = self._split(self.query(query))
        k = self._split(self.key(key))
        v = self._split(self.value(value))
        if not return_weights and not (self.training and self.dropout):
            return self._joined(ops.scaled_dot_product_attention(q, k, v, mask, self.causal))
        weights = self._weights(q, k, mask)
        kept = ops.dropout(weights, self.dropout, self.training, self.rng)
        z = self._joined(kept @ v)
        return (z, weights) if return_weights else z

    def _weights(self, q: Tensor, k: Tensor, mask: Array | None) -> Tensor:
        """How much each query takes of each key's value: the middle of attention."""
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT
        if self.causal:
            past = np.tri(*scores.shape[-2:], dtype=np.bool_)
            mask = past if mask is None else mask & past
        return ops.softmax(scores) if mask is None else ops.masked_softmax(scores, mask)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, time, size) to (batch, heads, time, size / heads)."""
        return x.reshape((*x.shape[:2], self.heads, -1)).swapaxes(1, 2)

    def _joined(self, heads: Tensor) -> Tensor:
        """The heads side by side again, and through the last projection."""
        x = heads.swapaxes(1, 2)
        return self.output(x.reshape((*x.shape[:2], self.size)))

    def _check(self, *shapes: tuple[int, ...]) -> None:
        query, key, value = shapes
        for name, shape in zip(("query", "key", "value"), shapes, strict=True):
            if len(shape) != 3 or shape[2] != self.size:
                raise ValueError(
                    f"MultiHeadAttention: {name} {shape}: make it (batch, time, {self.size})."
                )
        if key[:2] != value[:2] or key[0] != query[0]:
            raise ValueError(
                f"MultiHeadAttention: query {query}, key {key}, value {value}: all have the same "
                "batch, and key and value the same time."
            )

    def _for_heads(self, mask: Array, query: tuple[int, ...], key: tuple[int, ...]) -> Array:
        """The mask with axes for (batch, heads, n, m)."""
        batch, n, m = *query[:2], key[1]
        if mask.dtype != bool:
            raise TypeError(
                f"MultiHeadAttention: a mask of dtype {mask.dtype}; give bools, True where one may "
                "look: mask.astype(bool) or mask > 0."
            )
        if mask.shape == (batch, m):
            return mask[:, None, None, :]
        if mask.shape in ((batch, n, m), (1, n, m)):
            return mask[:, None]
        raise ValueError(
            f"MultiHeadAttention: query {query}, key {key}, mask {mask.shape}: make the mask "
            f"{(batch, m)}, which keys there are, or {(batch, n, m)} or {(1, n, m)}, what each "
            "query may look at."
        )

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        """Those of self-attention, q k^T and the mixing of values: n n size each."""
        batch, n, size = x_shape
        return 2 * batch * n * n * size

    def describe(self) -> str:
        shown = f"{self.size}, {self.heads}"
        shown += "" if self.query.bias is not None else ", bias=False"
        shown += f", dropout={self.dropout}" if self.dropout else ""
        return shown + (", causal=True" if self.causal else "")

    def _shows(self, value: Any) -> bool:
        return False  # its parts are always the same four
