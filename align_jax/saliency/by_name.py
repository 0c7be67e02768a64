"""Methods by name: each makes maps in [0, 1] at the images' resolution, so that they can be shown and scored alike.

A class activation map is shown as `display.shown` says. An attribution of pixels becomes one value a pixel: where the
method distributes the output over the pixels, the sum over channels, of which the positive part is kept; where it only
says how much a pixel matters, the sum of absolute values. Then it is divided by its maximum. RISE explains the
probability, as its authors do, and is shown from its minimum to its maximum: all of its values lie close together.

What a method leaves open has the default of its function; what is drawn at random is drawn from the key `KEY`, so that
a map is a function of the model and the image.

To add a method, add a line to `METHODS`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.saliency import cams
from align_jax.saliency.channels import over_channels
from align_jax.saliency.cut import Cut
from align_jax.saliency.display import shown
from align_jax.saliency.gradients import gradient, gradient_times_input, smooth_grad, var_grad
from align_jax.saliency.guided import deconvolution, guided_backpropagation
from align_jax.saliency.integrated_gradients import integrated_gradients
from align_jax.saliency.normalise import normalise_minmax
from align_jax.saliency.occlusion import occlusion
from align_jax.saliency.rise import rise
from align_jax.saliency.score_cam import score_cam
from align_jax.saliency.targets import Target, log_probability
from align_jax.saliency.versions import fixed_target

Method = Callable[[Cut, Float[Array, "b h w c"], Target], Float[Array, "b h w"]]
# Of what is drawn at random: the noise of SmoothGrad and VarGrad, the masks of RISE.
KEY = 0


def _of_map(method: Callable[..., Array], cut: Cut, image: Array, target: Target) -> Array:
    """What has one value a cell, or a pixel, already."""
    return shown(method(cut, image, target), *image.shape[1:3])


def _of_channels(method: Callable[..., Array], rule: str, cut: Cut, image: Array, target: Target) -> Array:
    """What has a value for each channel of each pixel."""
    return shown(over_channels(method(cut, image, target), rule), *image.shape[1:3])


def _rise(cut: Cut, image: Array, target: Target) -> Array:
    classes = fixed_target(cut, image, target)
    if callable(classes):  # whoever gives a function has said what is explained
        return normalise_minmax(_drawn(rise, cut, image, classes))
    log_p = log_probability(classes)
    return normalise_minmax(_drawn(rise, cut, image, lambda outputs: jnp.exp(log_p(outputs))))


def _drawn(method: Callable[..., Array], cut: Cut, image: Array, target: Target) -> Array:
    return method(cut, image, target, key=jax.random.key(KEY))


def _by_name(of: Callable[..., Array], *arguments: Any) -> Method:
    return functools.partial(of, *arguments)


METHODS: dict[str, Method] = {
    "grad_cam": _by_name(_of_map, cams.grad_cam),
    "hires_cam": _by_name(_of_map, cams.hires_cam),
    "layer_cam": _by_name(_of_map, cams.layer_cam),
    "element_wise_cam": _by_name(_of_map, cams.element_wise_cam),
    "grad_cam_plus_plus": _by_name(_of_map, cams.grad_cam_plus_plus),
    "score_cam": _by_name(_of_map, score_cam),
    "gradient": _by_name(_of_channels, gradient, "sum_abs"),
    "gradient_times_input": _by_name(_of_channels, gradient_times_input, "sum"),
    "smooth_grad": _by_name(_of_channels, functools.partial(_drawn, smooth_grad), "sum_abs"),
    "var_grad": _by_name(_of_channels, functools.partial(_drawn, var_grad), "sum"),
    "integrated_gradients": _by_name(_of_channels, integrated_gradients, "sum"),
    "guided_backpropagation": _by_name(_of_channels, guided_backpropagation, "sum_abs"),
    "deconvolution": _by_name(_of_channels, deconvolution, "sum_abs"),
    "occlusion": _by_name(_of_map, occlusion),
    "rise": _rise,
}
