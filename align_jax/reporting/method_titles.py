"""What the attribution methods of `saliency.METHODS` are called on a page."""

from align_jax.reporting.names import series_title

TITLES = {
    "grad_cam": "Grad-CAM",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "element_wise_cam": "Element-wise CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "score_cam": "ScoreCAM",
    "gradient_times_input": "Gradient × input",
    "smooth_grad": "SmoothGrad",
    "var_grad": "VarGrad",
    "integrated_gradients": "Integrated Gradients",
    "rise": "RISE",
    "random": "Random",
    "centre": "Centre",
    "edges": "Edges",
}


def method_title(method: str) -> str:
    """Its title; for a method of your own, its name in words."""
    return TITLES.get(method) or series_title(method)
