"""What is refused without the tests' own type checker, which would refuse it first: one process runs every case."""

import json
import subprocess
import sys

import pytest

CASES = {
    "mean(jnp.ones(8), jnp.array([True]))": "valid has the shape [1], and the values have [8]",
    "infidelity(probabilities, image, image, noise=lambda number: ones(1, 16, 16, 3), samples=2)": "noise of shape "
    "[1, 16, 16, 3] does not fit images of shape [8, 16, 16, 3]",
    "faithfulness_correlation(probabilities, image, maps, subsets=lambda n: maps[:1] > 3, samples=2, fill='blur')": "a "
    "subset has the shape [1, 16, 16]",
    "adcc(mask(probabilities, image, maps / 2048, fill='zero'), maps, maps[:1])": "maps of shapes [8, 16, 16] and",
    "random_map(jax.random.split(jax.random.key(0), 3), (8, 4, 4))": "keys of shape [3] do not fit 8 images",
    "grad_cam(lambda features: (features, 1), image, jnp.zeros((8, 2), int))": "the model returns a tuple",
    "sheet(image, {'a': ones(1, 16, 16)})": "a has the shape [1, 16, 16]: give 8 maps, one for each image",
    "perturb(probabilities, image, ones(16, 16), **half)": "the saliency map has the shape [16, 16], and an image "
    "batch of shape [8, 16, 16, 3] needs [8, 16, 16]: give one for each image",
    "perturb(probabilities, image, ones(1, 16, 16), **half)": "the saliency map has the shape [1, 16, 16]",
    "perturb(probabilities, image, ones(8, 1, 16), **half)": "the saliency map has the shape [8, 1, 16]",
    "perturb(probabilities, image, ones(8, 16, 1), **half)": "the saliency map has the shape [8, 16, 1]",
    "perturb(probabilities, image, ones(8, 16, 16, 1), **half)": "the saliency map has the shape [8, 16, 16, 1]",
    "jax.jit(lambda m: perturb(probabilities, image, m, **half))(ones(1, 16, 16))": "needs [8, 16, 16]",
    "perturb(probabilities, image, maps, jnp.zeros(8), **half)": "a target of type float32 is no class: give integers",
    "perturb(probabilities, image, maps, jnp.zeros(7, int), **half)": "a target of shape [7] does not fit 8 images",
    "perturb(probabilities, image, maps, jnp.zeros((8, 2), int), **half)": "has several classes an image",
    "perturb(probabilities, image, maps, 'best', **half)": "unknown target 'best': choose \"predicted\", classes, or a",
    "perturb(probabilities, image, maps, -1, **half)": "labels from -1 to -1 do not fit 5 classes",
    "perturb(probabilities, image, maps, fill=ones(4), remove=(0.5,))": "a fill of shape [4] does not fit images of "
    "shape [8, 16, 16, 3]: give a colour [3]",
    "perturb(probabilities, image, maps, fill='black', remove=(0.5,))": "the fill 'black' depends on how images were "
    "normalised: give preprocessing=Preprocessing(mean, std)",
    "perturb(probabilities, image, maps, fill='mean', preprocessing=Preprocessing((0.5,), (0.5,)))": "an "
    "image of shape [8, 16, 16, 3] does not have 1 channels",
    "energy_inside(maps, ones(1, 16, 16))": "the true mask has the shape [1, 16, 16], and a map of shape [8, 16, 16] ",
    "energy_inside(ones(16, 16), ones(16, 16))": "the map has the shape [16, 16]: give a batch of maps, [b h w]",
    "energy_inside(maps, 255 * ones(8, 16, 16).astype('uint8'))": "a mask of type uint8 could be 0/1 or 0/255",
    "energy_inside(maps, 255 * ones(8, 16, 16))": "a mask with values from 255 to 255 does not lie in [0, 1]",
    "mask_iou(ones(8, 16, 1), ones(8, 16, 16))": "the true mask has the shape [8, 16, 16], and a map of shape [8, 16, ",
    "gini(ones(16, 16))": "the map has the shape [16, 16]",
    "road(probabilities, image, ones(1, 16, 16), noise=0)": "the saliency map has the shape [1, 16, 16]",
    "mask(probabilities, image, ones(1, 16, 16), fill='blur')": "the saliency map has the shape [1, 16, 16]",
    "infidelity(probabilities, image, maps, noise=None, samples=3)": "the attribution has the shape [8, 16, 16], and",
    "rank_correlation(maps, ones(8, 8, 8))": "maps of shapes [8, 16, 16] and [8, 8, 8] cannot be compared",
    "grad_cam(lambda features: features, ones(8, 16, 3))": "the layer's output has the shape [8, 16, 3], and a map of",
    "grad_cam(probabilities, image, alpha='const')": "unknown alpha 'const': choose one of differentiated, constant",
    "grad_cam(probabilities, image, explained='probability')": "unknown explained 'probability': choose one of logit",
    "grad_cam(probabilities, image, jnp.zeros(8))": "a target of type float32 is no class",
    "grad_cam(lambda features: (features, 1), image)": "the model returns a tuple: choose its logits",
    "grad_cam(lambda features: features, image)": "have the shape [8, 16, 16, 3], and classes need [b k]",
    "grad_cam(probabilities, image, lambda logits: logits)": "the target function returned the shape [8, 5]: it must",
    "grad_cam(probabilities, image, jnp.array([[0, 5]] * 8))": "labels from 0 to 5 do not fit 5 classes",
}
PROGRAM = """
import json, sys
import jax, jax.numpy as jnp
from align_jax.explanations import *
from align_jax.saliency import *

image, maps, half = jnp.ones((8, 16, 16, 3)), jnp.arange(2048.0).reshape(8, 16, 16), dict(fill="blur", remove=(0.5,))
ones = lambda *shape: jnp.ones(shape)
probabilities = lambda image: jax.nn.softmax(image[:, 0, :5, 0])
found = {}
for case in json.load(sys.stdin):
    try:
        eval(case)
        found[case] = "nothing was refused"
    except (ValueError, TypeError) as error:
        found[case] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def messages():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(list(CASES)), capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_a_sentence(messages, case):
    assert CASES[case] in messages[case]
    assert "\n" not in messages[case]
