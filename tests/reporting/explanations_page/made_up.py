"""Explanations that no classifier made: images, maps and values of the right kind, from a seed."""

import numpy as np
from PIL import Image

from align_jax.reporting.explanations_page import Curves, ExplainedImage, Explanations, Settings

CAMS = ("Grad-CAM", "HiResCAM", "LayerCAM", "Grad-CAM++")
GRADIENTS = ("gradient", "SmoothGrad", "integrated gradients", "guided backprop")
CONTROLS = ("random", "centre", "edges")
HIGHER_IS_BETTER = {"comprehensiveness": True, "sufficiency": False, "insertion_auc": True, "pointing_game": True}
SETTINGS = Settings("image_mean", "blur", "predicted", 20)


def resized(values, side):
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))


def photograph(generator, side):
    """Noise with as much in every octave, as photographs have, and so about as many bytes."""
    octaves = [2**i for i in range(1, 9) if 2**i <= side]
    channels = [sum(resized(generator.normal(size=(o, o)), side) / o**0.5 for o in octaves) for _ in range(3)]
    image = np.stack(channels, axis=-1) + 0.8 * channels[0][..., None]
    return np.clip(128 + 50 * image, 0, 255).astype(np.uint8)


def map_of(method, generator, side):
    """Smooth where the method looks at a network's last layer, rough where it looks at its input."""
    if method in CAMS:
        return np.clip(resized(generator.random((7, 7)), side), 0, 1).astype(np.float32)
    if method == "centre":
        at = np.linspace(-2, 2, side)
        return np.exp(-(at[:, None] ** 2 + at[None] ** 2) / 2).astype(np.float32)
    return (generator.random((side, side)) ** (1 if method == "random" else 3)).astype(np.float32)


def explanations(images=6, measured=None, side=32, methods=CAMS[:2], seed=0, strength=0.2, names=None, metrics=None):
    """The first `images` of the measured ones have cards. The first method is better than the random map."""
    generator = np.random.default_rng(seed)
    measured = measured or images
    methods = (*methods, *CONTROLS)
    metrics = metrics or HIGHER_IS_BETTER
    pictures = np.random.default_rng(99)
    shown = []
    for place in range(images):
        image = photograph(pictures, side)
        label = ("dog", "cat", "horse")[place % 3]
        shown.append(
            ExplainedImage(
                place=place,
                name=names[place] if names else f"photo/{place:03d}.jpg",
                domain=("photo", "sketch")[place % 2],
                label=label,
                predicted=label if (place + seed) % 4 else "house",
                probability=0.5 + 0.4 * generator.random(),
                image=image,
                filled=np.broadcast_to(image.mean((0, 1)), image.shape).astype(np.uint8),
                maps={method: map_of(method, generator, side) for method in methods},
            )
        )
    values, curves = {}, {}
    hard = generator.normal(size=measured) * 0.1
    at = np.linspace(0, 1, 21)
    for number, method in enumerate(methods):
        gain = strength * (1 - number / len(methods)) if method not in CONTROLS else 0
        sign = {key: 1 if up else -1 for key, up in metrics.items()}
        values[method] = {
            key: 0.4 + hard + sign[key] * gain + 0.02 * generator.normal(size=measured) for key in metrics
        }
        if "pointing_game" in metrics:
            values[method]["pointing_game"] = np.where(np.arange(measured) % 5 == 0, np.nan, (hard + gain > 0) * 1.0)
        start = 0.85 + hard[:, None] / 2
        curves[method] = Curves(at, start * np.exp(-at * (2 + 12 * gain)), start * (1 - np.exp(-at * (3 + 12 * gain))))
    return Explanations(SETTINGS, shown, values, curves, metrics, CONTROLS)
