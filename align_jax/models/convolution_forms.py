"""Exact ways to compute a convolution and its two gradients on a CPU: XLA's own, and four that are often faster.

A convolution is a sum over the taps of its kernel: `y[o] = sum_t x[s o + d t - p] w[t]`, with stride s, dilation d and
padding p. Its gradients are sums over the same triples (input place, tap, output place). So there are three products of
two arrays each:

    output  of (x, w):  the convolution            [b h w c], [k l c o] -> [b u v o]
    input   of (g, w):  the images' gradient       [b u v o], [k l c o] -> [b h w c]
    kernel  of (x, g):  the kernel's gradient      [b h w c], [b u v o] -> [k l c o]

A form computes all three. In exact arithmetic all forms are equal. `winograd` multiplies sums of places and of taps,
and the others add up the same products in different orders.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from align_jax.models.winograd import convolution_3x3

Product = Literal["output", "input", "kernel"]
Pair = tuple[int, int]
Images = Float[Array, "b h w c"]
Outputs = Float[Array, "b u v o"]
Kernel = Float[Array, "k l c o"]
# Any of the three.
Map = Float[Array, "_ _ _ _"]

# Numbers in a part of `rows`: half a MiB in float32. The image's part that goes with it fits beside it in a cache of
# one MiB.
PART = 2**17

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Geometry(NamedTuple):
    """What a convolution is, but for its batch, its channels and its data type. Pairs are of height and width.

    Attributes:
      image: sides of the input.
      kernel: how many taps.
      strides: steps of the window.
      padding: zeros before and after.
      dilation: distances of neighbouring taps.
    """

    image: Pair
    kernel: Pair
    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @property
    def output(self) -> Pair:
        """Sides of the output."""
        height, width = (
            max(0, (side + sum(padding) - (taps - 1) * dilation - 1) // stride + 1)
            for side, taps, stride, padding, dilation in zip(*self, strict=True)
        )
        return height, width

    @property
    def is_plain_3x3(self) -> bool:
        """3 x 3 taps, stride 1 and no dilation."""
        return self.kernel == (3, 3) and self.strides == self.dilation == (1, 1)

    def taps(self) -> Iterator[Pair]:
        """The taps in the order in which a kernel's first two axes are flattened."""
        return itertools.product(range(self.kernel[0]), range(self.kernel[1]))

    def reach(self, axis: int, tap: int) -> tuple[slice, slice]:
        """Along an axis: the outputs for which this tap lies on the image, not on its padding, and what it reads."""
        stride = self.strides[axis]
        offset = tap * self.dilation[axis] - self.padding[axis][0]
        first = max(0, -(offset // stride))
        last = min(self.output[axis] - 1, (self.image[axis] - 1 - offset) // stride)
        count = max(0, last - first + 1)
        start = first * stride + offset
        return slice(first, first + count), slice(start, start + max(0, (count - 1) * stride + 1), stride)

    def of_rows(self, first: int, end: int) -> tuple["Geometry", slice]:
        """The convolution that makes only the output's rows from `first` to before `end`, and what rows it reads.

        They may be none, and only then is the padding negative.
        """
        start = first * self.strides[0] - self.padding[0][0]
        stop = (end - 1) * self.strides[0] + (self.kernel[0] - 1) * self.dilation[0] + 1 - self.padding[0][0]
        seen = slice(min(max(0, start), self.image[0]), max(0, min(self.image[0], stop)))
        padding = (seen.start - start, stop - seen.stop)
        return self._replace(image=(seen.stop - seen.start, self.image[1]), padding=(padding, self.padding[1])), seen

    def result_shape(self, product: Product, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a product of arrays of the shapes `a` and `b`."""
        if product == "output":
            return (a[0], *self.output, b[3])
        if product == "input":
            return (a[0], *self.image, b[2])
        return (*self.kernel, a[3], b[3])


def native(product: Product, a: Map, b: Map, geometry: Geometry) -> Map:
    """XLA's convolution, and the gradients of it that JAX derives."""

    def convolved(x: Images, w: Kernel) -> Outputs:
        return lax.conv_general_dilated(
            x, w, geometry.strides, geometry.padding, rhs_dilation=geometry.dilation, dimension_numbers=DIMENSIONS
        )

    shape = jax.ShapeDtypeStruct(geometry.result_shape(product, a.shape, b.shape), a.dtype)
    if product == "input":
        return jax.linear_transpose(lambda x: convolved(x, b), shape)(a)[0]
    if product == "kernel":
        return jax.linear_transpose(lambda w: convolved(a, w), shape)(b)[0]
    return convolved(a, b)


def rows(product: Product, a: Map, b: Map, geometry: Geometry) -> Map:
    """The kernel's gradient as a sum over parts of the output, each of a few rows; else `native`.

    XLA's routine goes through the whole gradient of the output for every few taps and channels, so that a large one
    comes from memory each time. A part stays in a core's cache. The batch is not cut, because devices may share it;
    then they add up each part among themselves. Parts are added in float32 at least.
    """
    if product != "kernel":
        return native(product, a, b, geometry)
    height, dtype = geometry.output[0], jnp.promote_types(a.dtype, jnp.float32)
    count = min(height, max(1, math.ceil(b.size / PART)))
    edges = [height * i // count for i in range(count + 1)]
    found = []
    for first, end in itertools.pairwise(edges):
        part, seen = geometry.of_rows(first, end)
        if seen.start < seen.stop:
            found.append(native("kernel", a[:, seen], b[:, first:end], part).astype(dtype))
    shape = geometry.result_shape(product, a.shape, b.shape)
    return functools.reduce(jnp.add, found, jnp.zeros(shape, dtype)).astype(a.dtype)


def winograd(product: Product, a: Map, b: Map, geometry: Geometry) -> Map:
    """16 matmuls of combinations of places, for 3 x 3 taps: fewer products, and more sums (`winograd.py`).

    The images' gradient is a convolution of g with the kernel turned by 180 degrees, its channels exchanged, and the
    padding 2 - p. The kernel's gradient, other kernels, strides and dilations are left to `native`.
    """
    if product == "kernel" or not geometry.is_plain_3x3:
        return native(product, a, b, geometry)
    if product == "output":
        return convolution_3x3(a, b, geometry.padding)
    (top, bottom), (left, right) = geometry.padding
    return convolution_3x3(a, b, ((2 - top, 2 - bottom), (2 - left, 2 - right)), turned=True)


def patches(product: Product, a: Map, b: Map, geometry: Geometry) -> Map:
    """One matmul: a row of the first matrix is all that the kernel sees from one place.

    The images' gradient is the transpose of this: one matmul, whose rows are added up where windows overlap.
    """
    shape = geometry.result_shape(product, a.shape, b.shape)
    if product == "output":
        return jnp.tensordot(_windows(a, geometry), b, 3)
    if product == "kernel":
        return jnp.tensordot(_windows(a, geometry), b, ((0, 1, 2), (0, 1, 2)))
    unfold = functools.partial(_windows, geometry=geometry)
    return jax.linear_transpose(unfold, jax.ShapeDtypeStruct(shape, a.dtype))(jnp.tensordot(a, b, (3, 3)))[0]


def _windows(x: Images, geometry: Geometry) -> Float[Array, "b u v k l c"]:
    """What each tap sees from each output place."""
    (rows, columns), (down, right) = geometry.kernel, geometry.output
    side_by_side = geometry.kernel == geometry.strides and geometry.image == (rows * down, columns * right)
    if side_by_side and geometry.padding == ((0, 0), (0, 0)) and geometry.dilation == (1, 1):
        # Windows that lie side by side are the image in another order.
        return x.reshape(x.shape[0], down, rows, right, columns, x.shape[3]).transpose(0, 1, 3, 2, 4, 5)
    padded = jnp.pad(x, ((0, 0), *geometry.padding, (0, 0)))
    seen = []
    for tap in geometry.taps():
        first = [t * distance for t, distance in zip(tap, geometry.dilation, strict=True)]
        last = [f + (n - 1) * stride + 1 for f, n, stride in zip(first, geometry.output, geometry.strides, strict=True)]
        seen.append(lax.slice(padded, (0, *first, 0), (x.shape[0], *last, x.shape[3]), (1, *geometry.strides, 1)))
    return jnp.stack(seen, 3).reshape(x.shape[0], down, right, rows, columns, x.shape[3])


def taps(product: Product, a: Map, b: Map, geometry: Geometry) -> Map:
    """One matmul for each tap, only of the places where it lies on the image: on small maps most zeros are left out."""
    shape = geometry.result_shape(product, a.shape, b.shape)
    found: dict[Pair, Array] = {}
    for tap in geometry.taps():
        (to_rows, from_rows), (to_columns, from_columns) = (geometry.reach(axis, t) for axis, t in enumerate(tap))
        if to_rows.start == to_rows.stop or to_columns.start == to_columns.stop:
            continue
        if product == "output":
            part = jnp.tensordot(_cut(a, from_rows, from_columns), b[tap], 1)
            found[tap] = _placed(part, to_rows, to_columns, shape)
        elif product == "input":
            part = jnp.tensordot(_cut(a, to_rows, to_columns), b[tap], (3, 1))
            found[tap] = _placed(part, from_rows, from_columns, shape)
        else:
            seen, given = _cut(a, from_rows, from_columns), _cut(b, to_rows, to_columns)
            found[tap] = jnp.tensordot(seen, given, ((0, 1, 2), (0, 1, 2)))
    if product == "kernel":
        unseen = jnp.zeros(shape[2:], a.dtype)
        return jnp.stack([found.get(tap, unseen) for tap in geometry.taps()]).reshape(shape)
    return functools.reduce(jnp.add, found.values()) if found else jnp.zeros(shape, a.dtype)


def _cut(x: Array, rows: slice, columns: slice) -> Array:
    return lax.slice(
        x,
        (0, rows.start, columns.start, 0),
        (x.shape[0], rows.stop, columns.stop, x.shape[3]),
        (1, rows.step or 1, columns.step or 1, 1),
    )


def _placed(x: Array, rows: slice, columns: slice, shape: tuple[int, ...]) -> Array:
    """Zeros of the shape, with x at these rows and columns: the transpose of `_cut`."""
    spatial = [(s.start, side - s.stop, (s.step or 1) - 1) for s, side in zip((rows, columns), shape[1:3], strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *spatial, (0, 0, 0)))


Form = Callable[[Product, Array, Array, Geometry], Array]
FORMS: dict[str, Form] = {"native": native, "rows": rows, "winograd": winograd, "patches": patches, "taps": taps}
