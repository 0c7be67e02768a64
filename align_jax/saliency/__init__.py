"""Attribution methods: maps of what a model's output depends on, batched and pure; they can be compiled as a whole.

cut = saliency.cut_linen(module, variables, "block4")
cam = saliency.grad_cam(cut, image)
shown = saliency.shown(cam, height, width)
"""

from align_jax.preprocessing import IMAGENET, Preprocessing
from align_jax.saliency.by_name import METHODS, Method
from align_jax.saliency.cams import (
    ExplainedScore,
    element_wise_cam,
    evidence,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
)
from align_jax.saliency.channels import CHANNEL_RULES, over_channels
from align_jax.saliency.cut import Cut, cut
from align_jax.saliency.display import shown
from align_jax.saliency.gradients import gradient, gradient_times_input, smooth_grad, var_grad
from align_jax.saliency.grid import to_grid, upsample
from align_jax.saliency.guided import deconvolution, guided_backpropagation
from align_jax.saliency.integrated_gradients import QUADRATURES, convergence_delta, integrated_gradients
from align_jax.saliency.layers import Layer, Layers, layers, layers_nnx
from align_jax.saliency.linen import cut_linen
from align_jax.saliency.nnx import cut_nnx
from align_jax.saliency.normalise import FLAT, NORMALISATIONS, normalise_max, normalise_minmax
from align_jax.saliency.occlusion import occlusion
from align_jax.saliency.rise import rise
from align_jax.saliency.score_cam import score_cam
from align_jax.saliency.sheet import sheet
from align_jax.saliency.targets import log_probability, margin
from align_jax.saliency.tokens import Tokens

__all__ = [
    "CHANNEL_RULES",
    "FLAT",
    "IMAGENET",
    "METHODS",
    "NORMALISATIONS",
    "QUADRATURES",
    "Cut",
    "ExplainedScore",
    "Layer",
    "Layers",
    "Method",
    "Preprocessing",
    "Tokens",
    "convergence_delta",
    "cut",
    "cut_linen",
    "cut_nnx",
    "deconvolution",
    "element_wise_cam",
    "evidence",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "gradient_times_input",
    "guided_backpropagation",
    "hires_cam",
    "integrated_gradients",
    "layer_cam",
    "layers",
    "layers_nnx",
    "log_probability",
    "margin",
    "normalise_max",
    "normalise_minmax",
    "occlusion",
    "over_channels",
    "rise",
    "score_cam",
    "sheet",
    "shown",
    "smooth_grad",
    "to_grid",
    "upsample",
    "var_grad",
]
