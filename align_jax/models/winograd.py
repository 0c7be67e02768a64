"""Convolutions of 3 x 3 taps by Winograd's F(2 x 2, 3 x 3): 16 products for 4 outputs, where the sum over taps has 36.

With d a window of 4 x 4 places, w the kernel, and o the product of each entry with its like, the 2 x 2 outputs are

    y = A^T [(G w G^T) o (B^T d B)] A

    B^T = |1  0 -1  0|    G = | 1    0    0 |    A^T = |1  1  1  0|
          |0  1  1  0|        |1/2  1/2  1/2|          |0  1 -1 -1|
          |0 -1  1  0|        |1/2 -1/2  1/2|
          |0  1  0 -1|        | 0    0    1 |

(Lavin and Gray, arXiv 1509.09308). The product o sums over channels: each of the 16 places is a matmul.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Line = Sequence[Array]


def convolution_3x3(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 c o"],
    padding: tuple[tuple[int, int], tuple[int, int]],
    *,
    turned: bool = False,
) -> Float[Array, "b u v j"]:
    """The convolution with stride 1. Its height is `u = h + (zeros above and below) - 2`, and its width likewise.

    It is computed in float32 at least: types of 16 bits have too few digits for differences of neighbouring places.

    Args:
      x: images.
      kernel: its taps.
      turned: the kernel is turned by 180 degrees, and takes o channels to c, in place of c to o.
      padding: zeros before and after; negative numbers cut off. u and v must stay positive.
    """
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    images, *sides, _ = x.shape
    height, width = (side + sum(zeros) - 2 for side, zeros in zip(sides, padding, strict=True))
    down, right = -(-height // 2), -(-width // 2)
    even = ((padding[0][0], padding[0][1] + height % 2), (padding[1][0], padding[1][1] + width % 2))
    padded = lax.pad(x.astype(dtype), jnp.zeros((), dtype), ((0, 0, 0), *((*zeros, 0) for zeros in even), (0, 0, 0)))
    # Neighbouring windows share half of their places, so that each place is one of four kinds, even or odd.
    places = padded.reshape(images, down + 1, 2, right + 1, 2, -1)
    windows = [
        [places[:, i // 2 : i // 2 + down, i % 2, j // 2 : j // 2 + right, j % 2] for j in range(4)] for i in range(4)
    ]
    seen = _both_ways(_of_window, windows)
    order = (2, 1, 0) if turned else (0, 1, 2)
    taps = _both_ways(_of_kernel, [[kernel[i, j].astype(dtype) for j in order] for i in order])
    products = [[jnp.tensordot(seen[i][j], taps[i][j], (3, int(turned))) for j in range(4)] for i in range(4)]
    outputs = _both_ways(_of_products, products)
    side_by_side = jnp.stack([jnp.stack(line, 3) for line in outputs], 2)
    return side_by_side.reshape(images, 2 * down, 2 * right, -1)[:, :height, :width].astype(x.dtype)


def _of_window(d: Line) -> Line:
    """B^T d."""
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _of_kernel(w: Line) -> Line:
    """G w."""
    return w[0], (w[0] + w[1] + w[2]) / 2, (w[0] - w[1] + w[2]) / 2, w[2]


def _of_products(m: Line) -> Line:
    """A^T m."""
    return m[0] + m[1] + m[2], m[1] - m[2] - m[3]


def _both_ways(transform: Callable[[Line], Line], matrix: Sequence[Line]) -> list[Line]:
    """T m T^T, of a matrix whose entries are arrays."""
    columns = [transform(column) for column in zip(*matrix, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]
