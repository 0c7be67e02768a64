"""A convolution that is computed in a fast exact form on CPUs, and by XLA's own convolution on GPUs and TPUs.

XLA's CPU convolutions can be a hundred times slower than a matmul of the same numbers, and its gradients of 1 x 1
kernels are several times slower; matmuls run near the machine's peak. `convolution` takes the place of
`jax.lax.conv_general_dilated` in Flax's layer, whose parameters and names stay as they are:

    nn.Conv(16, (3, 3), conv_general_dilated_cls=faster_convolution)

The form is chosen by shape, for the output and for each gradient by itself, when a program is lowered for a CPU. So
what a machine without an accelerator exports for one has XLA's convolutions.

The three products of `convolution_forms` are the derivatives of one another. So any derivative, forward or reverse and
of any order, is made of the same three, and each has its own form.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Num

from align_jax.models.convolution_forms import DIMENSIONS, FORMS, PART, Geometry, Product, native


def convolution(
    lhs: Num[Array, "..."],
    rhs: Num[Array, "..."],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Num[Array, "..."]:
    """`jax.lax.conv_general_dilated`, as Flax calls it: the same result but for rounding.

    What is none of 2 dimensions with channels last, one group, no dilation of the images and the default precision is
    handed on to `jax.lax.conv_general_dilated`. So is what lies inside of `jax.shard_map` or on a mesh with explicit
    axes: the type of a result says there how it is spread over devices, and JAX's own convolution knows that.
    """
    dilation = tuple(rhs_dilation or (1,) * len(window_strides))
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    usual = (
        _is_placed_by_the_compiler()
        and lhs.ndim == 4
        and numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, DIMENSIONS)
        and all(step == 1 for step in lhs_dilation or ())
        and feature_group_count == 1
        and lhs.shape[3] == rhs.shape[2]
        and precision is None
        and lhs.dtype == rhs.dtype
        and jnp.issubdtype(lhs.dtype, jnp.floating)
        and all(isinstance(side, int) and side > 0 for side in (*lhs.shape, *rhs.shape))
    )
    if usual:
        geometry = _geometry(lhs.shape, rhs.shape, window_strides, padding, dilation)
        if min(geometry.output) > 0 and min(*geometry.padding[0], *geometry.padding[1]) >= 0:
            return _bound(lhs, rhs, "output", geometry)
    return lax.conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, numbers, feature_group_count, precision=precision
    )


def faster_convolution() -> Callable[..., Array]:
    """`convolution`, for `flax.linen.Conv(conv_general_dilated_cls=...)`."""
    return convolution


def _is_placed_by_the_compiler() -> bool:
    mesh = jax.sharding.get_abstract_mesh()
    return bool(mesh.empty or mesh.are_all_axes_auto)


def form_of(product: Product, a: tuple[int, ...], b: tuple[int, ...], geometry: Geometry) -> str:
    """The form for factors of these shapes on a CPU: the fastest that was measured, or hardly slower.

    Measured by `python -m benchmarks.convolutions`; docs/costs.md has the table.
    """
    places, strided = math.prod(geometry.output), geometry.strides != (1, 1)
    if geometry.kernel == (1, 1) or places <= 16:
        return "taps"
    # For smaller maps with few channels, Winograd's form saves less than it costs to compile.
    if product != "kernel" and geometry.is_plain_3x3 and min(b[2:]) >= 64 and places * min(b[2:]) >= 2**14:
        return "winograd"
    if geometry.kernel == geometry.strides:
        return "patches"
    if product == "input" and strided and math.prod(geometry.kernel) <= 9:
        return "patches"
    if product != "output" and places <= 49:
        return "patches"
    if product == "kernel" and b[3] <= 64 and math.prod(b) > PART:
        return "rows"
    return "native"


def _geometry(
    image: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> Geometry:
    if isinstance(padding, str):
        spread = [(taps - 1) * distance + 1 for taps, distance in zip(kernel[:2], dilation, strict=True)]
        padding = lax.padtype_to_pads(image[1:3], spread, strides, padding)
    whole = [(int(before), int(after)) for before, after in padding]
    pairs = [tuple(map(int, pair)) for pair in (image[1:3], kernel[:2], strides, dilation)]
    return Geometry(pairs[0], pairs[1], pairs[2], tuple(whole), pairs[3])  # type: ignore[arg-type]


# A product of two arrays; `product` and `geometry` are its parameters. It is a primitive, and not a function with a
# derivative of its own: only a primitive can be differentiated forward and backward, and lowered for each platform.
convolution_p = Primitive("convolution")


def _abstract(a: Any, b: Any, *, product: Product, geometry: Geometry) -> jax.core.ShapedArray:
    return jax.core.ShapedArray(geometry.result_shape(product, a.shape, b.shape), a.dtype)


def _in_form(a: Array, b: Array, *, product: Product, geometry: Geometry) -> Array:
    form = form_of(product, a.shape, b.shape, geometry)
    if product == "kernel" or form == "winograd":
        # Without the barrier XLA may fuse what made a factor into all of its readers, and compute it again for each.
        # Barriers last in programs that are compiled with `runtime.sharding.KEEP_BARRIERS`.
        a, b = lax.optimization_barrier((a, b))
    return FORMS[form](product, a, b, geometry)


def _natively(a: Array, b: Array, *, product: Product, geometry: Geometry) -> Array:
    return native(product, a, b, geometry)


def _first_transposed(above: Array, a: Any, b: Array, *, product: Product, geometry: Geometry) -> Array:
    """The gradient of a product's first factor."""
    if product == "input":  # of the gradient that was given
        return _bound(above, b, "output", geometry)
    return _bound(above, b, "input", geometry) if product == "output" else _bound(b, above, "input", geometry)


def _second_transposed(above: Array, a: Array, b: Any, *, product: Product, geometry: Geometry) -> Array:
    """The gradient of a product's second factor."""
    if product == "kernel":
        return _bound(a, above, "output", geometry)
    return _bound(a, above, "kernel", geometry) if product == "output" else _bound(above, a, "kernel", geometry)


def _batched(
    factors: Sequence[Array], axes: Sequence[int | None], *, product: Product, geometry: Geometry
) -> tuple[Array, int]:
    """Of `jax.vmap`: more images of one kernel are a larger batch; many kernels are left to XLA."""
    a, b = factors
    if product == "kernel" or axes[1] is not None:
        mapped = jax.vmap(lambda a, b: native(product, a, b, geometry), tuple(axes))
        return mapped(a, b), 0
    a = jnp.moveaxis(a, axes[0] or 0, 0)
    together = _bound(a.reshape(-1, *a.shape[2:]), b, product, geometry)
    return together.reshape(*a.shape[:2], *together.shape[1:]), 0


def _bound(a: Array, b: Array, product: Product, geometry: Geometry) -> Array:
    result: Array = convolution_p.bind(a, b, product=product, geometry=geometry)
    return result


convolution_p.def_impl(jax.jit(convolution_p.bind, static_argnames=("product", "geometry")))
convolution_p.def_abstract_eval(_abstract)
ad.defbilinear(convolution_p, _first_transposed, _second_transposed)
batching.primitive_batchers[convolution_p] = _batched
mlir.register_lowering(convolution_p, mlir.lower_fun(_natively, multiple_results=False))
mlir.register_lowering(convolution_p, mlir.lower_fun(_in_form, multiple_results=False), platform="cpu")
