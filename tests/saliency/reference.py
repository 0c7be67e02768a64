"""Reference values that other libraries made for the small network of `tests/explanations`, at float64 in PyTorch.

cams.npz    pytorch-grad-cam 1.5.7 (`gradcamlib` as it shows maps, `gradcamlib_raw` before), captum 0.9.0, torchcam
            0.5.0, and Grad-CAM written out (`direct`); at two layers, of the label (`lab`) and of the least likely
            class (`low`).
captum.npz  captum 0.9.0, channels last: gradients, Integrated Gradients with 50 steps, guided backpropagation,
            deconvolution, SmoothGrad (with its noise) and occlusion; and RISE (with its masks), written out.
"""

import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

FOLDER = pathlib.Path(__file__).parent
CAMS = dict(np.load(FOLDER / "cams.npz"))
CAPTUM = dict(np.load(FOLDER / "captum.npz"))
TARGETS = {"lab": jnp.asarray(CAMS["label"]), "low": jnp.asarray(CAMS["low"])}


def compilations(caplog, function):
    """How many programs are compiled while `function` runs."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        jax.block_until_ready(function())
    return sum(record.getMessage().startswith("Compiling") for record in caplog.records)
