"""Where a classifier's evidence lies, and whether it comes from there: what guiding Grad-CAM can and cannot achieve.

    python -m experiments.background_evidence RUN [RUN ...]

Prints a row for each run on emoji_scenes, measured on the training domains' test images without correlation. They show
each object twice, at the same place, on two random backgrounds. Cells are those of the last convolutional map.

* evidence outside: the label's mean Grad-CAM (before ReLU and normalisation) over the cells beside the object, as a
  share of its mean over the object's cells;
* changed by the background: the share of objects with two different predictions;
* through the object's cells: the share of predictions that change when the object's cells are taken from the other
  image, and the other cells stay. Each cell sees more of the image than the part that it covers;
* through the background's cells: the same with the cells beside the object;
* label's logit: its change through the background's cells (root mean square). Evidence outside has a sign, and that of
  two backgrounds may cancel in its mean; this number cannot;
* in Phi: the difference between the two images in the mean min-max normalised Grad-CAM (0 to 1) beside the object (root
  mean square).
"""

import argparse
import sys
from typing import Any, NamedTuple

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from align_jax import saliency
from align_jax.cli.exit_status import exit_status
from align_jax.data.augment import resample
from align_jax.data.load import load
from align_jax.data.normalise import normalise
from align_jax.errors import UserError, one_line
from align_jax.labels import of_label
from align_jax.networks import Classifier
from align_jax.runs.trained import TrainedRun, load_trained
from align_jax.runtime.paths import local_path
from align_jax.runtime.terminal import say
from align_jax.states import ClassifierState

# A cell is the object's if the object covers more than this share of it.
COVERED = 0.5


class Pairs(NamedTuple):
    """Objects on two backgrounds: normalised images, their common masks in [0, 1], and labels."""

    image: Float[Array, "b h w 3"]
    other: Float[Array, "b h w 3"]
    mask: Float[Array, "b h w 1"]
    label: Int[Array, " b"]


class Evidence(NamedTuple):
    """Mean Grad-CAM on and beside objects, shares of predictions, and changes; see the docstring of this file."""

    inside: Float[Array, ""]
    outside: Float[Array, ""]
    changed: Float[Array, ""]
    changed_through_object: Float[Array, ""]
    changed_through_background: Float[Array, ""]
    logit_change: Float[Array, ""]
    phi_change: Float[Array, ""]


def evidence(network: Classifier, state: ClassifierState, pairs: Pairs) -> Evidence:
    """Measures a classifier, as in evaluation, on pairs."""

    def features(image: Float[Array, "b h w 3"]) -> Float[Array, "b u v d"]:
        return network.features(state.params, state.batch_stats, image, False, None)[0]

    def logits(features: Float[Array, "b u v d"]) -> Float[Array, "b k"]:
        return network.head(state.params, features)

    def predicted(features: Float[Array, "b u v d"]) -> Int[Array, " b"]:
        return logits(features).argmax(-1)

    def label_logit(features: Float[Array, "b u v d"]) -> Float[Array, " b"]:
        return of_label(logits(features), pairs.label)

    first, second = features(pairs.image), features(pairs.other)
    over_object = saliency.to_grid(pairs.mask, *first.shape[1:3]) > COVERED

    def beside(saliency_map: Float[Array, "b u v"]) -> Float[Array, " b"]:
        return jnp.where(over_object, 0, saliency_map).sum((1, 2)) / jnp.maximum((~over_object).sum((1, 2)), 1)

    grad_cam, grad_cam_of_other = (saliency.grad_cam(logits, map_, pairs.label) for map_ in (first, second))
    phi, phi_of_other = (saliency.normalise_minmax(map_) for map_ in (grad_cam, grad_cam_of_other))
    through_object = jnp.where(over_object[..., None], second, first)
    through_background = jnp.where(over_object[..., None], first, second)
    return Evidence(
        inside=jnp.where(over_object, grad_cam, 0).sum() / over_object.sum(),
        outside=jnp.where(over_object, 0, grad_cam).sum() / (~over_object).sum(),
        changed=(predicted(second) != predicted(first)).mean(),
        changed_through_object=(predicted(through_object) != predicted(first)).mean(),
        changed_through_background=(predicted(through_background) != predicted(first)).mean(),
        logit_change=_root_mean_square(label_logit(through_background) - label_logit(first)),
        phi_change=_root_mean_square(beside(phi_of_other) - beside(phi)),
    )


def _root_mean_square(values: Float[Array, " b"]) -> Float[Array, ""]:
    return jnp.sqrt((values**2).mean())


def load_pairs(run: TrainedRun, prepared: str) -> Pairs:
    """The test images of a run's training domains, in pairs.

    Raises:
      UserError: the run was not trained on emoji_scenes.
    """
    config = run.config.data.copy_and_resolve_references()
    if config.name != "emoji_scenes":
        raise UserError(f"{run.folder} was trained on {config.name}; only emoji_scenes has objects on two backgrounds.")
    config.prepared, config.correlation = prepared, 0.0
    by_id: dict[str, dict[str, Any]] = {}
    for split in load(config).evaluation:
        if split.role in ("id", "background_shift"):
            by_id |= {example["id"]: example for example in map(split.source.__getitem__, range(len(split.source)))}
    first = [example for name, example in by_id.items() if "_test_random_" in name]
    second = [by_id[example["id"].replace("_test_random_", "_test_")] for example in first]

    def pixels(examples: list[dict[str, np.ndarray]], name: str) -> Array:
        return jnp.asarray(np.stack([resample(example[name], config.image_size) for example in examples]))

    return Pairs(
        normalise(pixels(first, "image")),
        normalise(pixels(second, "image")),
        pixels(first, "mask").astype(jnp.float32) / 255,
        jnp.asarray(np.array([example["label"] for example in first])),
    )


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--prepared", default="data", help="the folder of prepared data sets")
    arguments = parser.parse_args()

    def report() -> int:
        titles = ("run", "evidence outside, %", "changed by the background, %", "through the object's cells, %",
                  "through the background's cells, %", "label's logit", "in Phi")  # fmt: skip
        print(f"| {' | '.join(titles)} |\n" + "|---" * len(titles) + "|")
        prepared = str(local_path(arguments.prepared, "--prepared"))
        for folder in [local_path(run, "RUN") for run in arguments.runs]:
            run = load_trained(folder)
            for note in run.notes:
                say(f"note: {note}.")
            network = run.networks[0]
            found = jax.jit(lambda state, pairs, network=network: evidence(network, state, pairs))(
                run.states[0], load_pairs(run, prepared)
            )
            shares = (
                found.outside / found.inside,
                found.changed,
                found.changed_through_object,
                found.changed_through_background,
            )
            numbers = [f"{100 * float(share):.1f}" for share in shares]
            numbers += [f"{float(change):.2f}" for change in (found.logit_change, found.phi_change)]
            print(f"| {one_line(str(folder))} | " + " | ".join(numbers) + " |", flush=True)
        return 0

    return exit_status(report, on_os_error="are the runs there?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    sys.exit(main())
