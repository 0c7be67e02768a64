"""Where a classifier's evidence lies, and whether it comes from there: what guidance of Grad-CAM can and cannot reach.

    python -m benchmarks.background_evidence RUN [RUN ...]

For each run on emoji_scenes, over the training domains' test images on random backgrounds, with true masks:

* evidence outside: the label's mean Grad-CAM (before ReLU and normalisation) over cells beside the object, as a share
  of that over the object's cells;
* changed by the background: predictions that change when what surrounds the object is exchanged for another image's;
* ... through the object's cells: the same, when only the cells over the object come from the changed image and all
  others stay as they were. Each cell has seen more of the image than what lies below it.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from align_jax import saliency
from align_jax.cli import exit_status
from align_jax.data.augment import resample
from align_jax.data.load import load
from align_jax.evaluation import as_network_input
from align_jax.trained import TrainedRun, load_trained

# Share of a cell that the object has to cover; the object's outline is blended by a pixel or so.
COVERED = 0.5


class Evidence(NamedTuple):
    """Of one batch of images; see the head of this file."""

    inside: Float[Array, ""]
    outside: Float[Array, ""]
    changed: Float[Array, ""]
    changed_through_object: Float[Array, ""]


def evidence(
    run: TrainedRun, image: Float[Array, "b h w 3"], mask: Float[Array, "b h w 1"], label: Int[Array, " b"]
) -> Evidence:
    """The evidence of a trained run's classifier on normalised images with true masks in [0, 1].

    The other background is that of the next image of the batch.
    """
    network, state = run.networks[0], run.states[0]

    def features(image: Float[Array, "b h w 3"]) -> Float[Array, "b u v d"]:
        return network.features(state.params, state.batch_stats, image, False, None)[0]

    def predicted(features: Float[Array, "b u v d"]) -> Int[Array, " b"]:
        return network.head(state.params, features).argmax(-1)

    original = features(image)
    other = jnp.roll(image, 1, axis=0)
    exchanged = features(other + mask * (image - other))
    over_object = saliency.to_grid(mask, *original.shape[1:3]) > COVERED
    grad_cam = saliency.grad_cam(lambda map: network.head(state.params, map), original, label)
    through_object = jnp.where(over_object[..., None], exchanged, original)
    before = predicted(original)
    return Evidence(
        inside=jnp.where(over_object, grad_cam, 0).sum() / over_object.sum(),
        outside=jnp.where(over_object, 0, grad_cam).sum() / (~over_object).sum(),
        changed=(predicted(exchanged) != before).mean(),
        changed_through_object=(predicted(through_object) != before).mean(),
    )


def measured(run: TrainedRun, prepared: str) -> Evidence:
    """The means over all images of the training domains' test part on random backgrounds."""
    run.config.data.prepared = prepared
    size = run.config.data.image_size
    examples = [
        split.source[index]
        for split in load(run.config.data).evaluation
        if split.role == "background_shift"
        for index in range(len(split.source))
    ]
    # In an order in which neighbours are of different classes and vendors.
    order = np.random.default_rng(0).permutation(len(examples))
    batch = {
        "image": jnp.asarray(np.stack([resample(examples[i]["image"], size) for i in order])),
        "mask": jnp.asarray(np.stack([resample(examples[i]["mask"], size) for i in order])),
        "label": jnp.asarray(np.array([examples[i]["label"] for i in order])),
    }
    batch = as_network_input(batch)
    return jax.jit(lambda image, mask, label: evidence(run, image, mask, label))(
        batch["image"], batch["mask"], batch["label"]
    )


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--prepared", default="data", help="where prepared data sets are kept")
    arguments = parser.parse_args()

    def run() -> int:
        print("| run | evidence outside, % | changed by the background, % | through the object's cells, % |")
        print("|---|---|---|---|")
        for folder in arguments.runs:
            found = measured(load_trained(folder), arguments.prepared)
            shares = (found.outside / found.inside, found.changed, found.changed_through_object)
            print(f"| {folder} | " + " | ".join(f"{100 * float(share):.1f}" for share in shares) + " |")
        return 0

    return exit_status(run, on_os_error="are the runs there?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    sys.exit(main())
