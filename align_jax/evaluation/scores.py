"""Scores of each example's prediction and explanation, and a domain's metrics from them.

To add a metric of an example, add a line to `scores`; of a whole domain, such as the AUC, a line to `summarise`; of an
explanation, see `explanations.metrics`.
Scores are computed for each example on the devices and averaged on the host, so that padding, empty masks and zero maps
are left out rather than counted, and errors can be clustered. Saliency here is the usual Grad-CAM (ReLU, upsampled
bilinearly, divided by its maximum), of the predicted class unless the config says otherwise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from align_jax import saliency
from align_jax.evaluation.bootstrap import clustered_standard_error
from align_jax.evaluation.groups import group_accuracies, worst_group
from align_jax.evaluation.metrics import accuracy, auc, balanced_accuracy, mean_where_defined, per_class_accuracy
from align_jax.explanations import localisation
from align_jax.forward import Batch
from align_jax.losses import cross_entropy
from align_jax.networks import Classifier, Masker
from align_jax.states import ClassifierState, MaskerState

# A summary lists no more of them for each test.
MOST_GROUPS = 1000


class ExplainedBatch(NamedTuple):
    """Predictions and explanations of a batch.

    Attributes:
      logits: f(x).
      target: the class that `grad_cam` explains.
      grad_cam: ReLU Grad-CAM in [0, 1] at image resolution.
      mask: M(x), or None without a masker.
    """

    logits: Float[Array, "b k"]
    target: Int[Array, " b"]
    grad_cam: Float[Array, "b h w"]
    mask: Float[Array, "b h w"] | None


def explain(
    classifier: Classifier,
    masker: Masker | None,
    explained_class: str,
    classifier_state: ClassifierState,
    masker_state: MaskerState | None,
    batch: Batch,
) -> ExplainedBatch:
    """Predictions, Grad-CAMs and learned masks of a batch with `image` (normalised) and `label`."""
    image = batch["image"]
    with jax.named_scope("classifier"):
        features, _ = classifier.features(classifier_state.params, classifier_state.batch_stats, image, False, None)
        logits = classifier.head(classifier_state.params, features).astype(jnp.float32)
    target = logits.argmax(-1) if explained_class == "predicted" else batch["label"]
    with jax.named_scope("saliency"):
        raw = saliency.grad_cam(lambda h: classifier.head(classifier_state.params, h), features, target)
        grad_cam = saliency.shown(raw, *image.shape[1:3])
    mask = None
    if masker is not None and masker_state is not None:
        with jax.named_scope("mask"):
            mask = masker.mask(masker_state.params, masker_state.batch_stats, image, False, None)[0][..., 0]
    return ExplainedBatch(logits, target, grad_cam, mask)


def scores(explained: ExplainedBatch, batch: Batch) -> dict[str, Array]:
    """Each example's `probabilities` [b k], and [b] arrays whose means are a domain's metrics."""
    result = {
        "probabilities": jax.nn.softmax(explained.logits),
        "loss": cross_entropy(explained.logits, batch["label"]),
    }
    if explained.mask is not None:
        result["mask_mean"] = explained.mask.mean((1, 2))
    if "mask" in batch:
        true_mask = batch["mask"][..., 0]
        result["cam_energy"] = localisation.energy_inside(explained.grad_cam, true_mask)
        if explained.mask is not None:
            result["mask_iou"] = localisation.mask_iou(explained.mask, true_mask, threshold=0.5)
    return result


def summarise(examples: dict[str, np.ndarray]) -> dict[str, float | int]:
    """A domain's metrics from its examples' scores: means over the examples for which each is defined.

    The accuracy's standard error is bootstrapped over concepts, if the data set has them: images of one concept are not
    independent.
    """
    result: dict[str, float | int] = {}
    if "probabilities" in examples:
        probabilities, label = examples["probabilities"], examples["label"]
        result["examples"] = len(label)
        result["accuracy"] = accuracy(probabilities, label)
        result["balanced_accuracy"] = balanced_accuracy(probabilities, label)
        value, left_out = auc(probabilities, label)
        if np.isfinite(value):
            result["auc"] = value
        if left_out:
            result["auc_classes_left_out"] = left_out
        if "concept" in examples:
            correct = (probabilities.argmax(-1) == label).astype(np.float64)
            result["accuracy_standard_error"] = clustered_standard_error(correct, examples["concept"])
        if "group" in examples:
            worst, result["groups_left_out"] = worst_group(group_accuracies(probabilities, label, examples["group"]))
            if worst is not None:
                result["worst_group_accuracy"] = worst.accuracy
    for name, values in examples.items():
        if values.ndim == 1 and values.dtype.kind == "f":
            mean, count = mean_where_defined(values)
            if count:
                result[name] = mean
    return result


def by_class(examples: dict[str, np.ndarray], class_names: Sequence[str]) -> dict[str, float]:
    """Each class's accuracy; a class without examples is left out."""
    values = per_class_accuracy(examples["probabilities"], examples["label"])
    return {name: float(value) for name, value in zip(class_names, values, strict=True) if np.isfinite(value)}


def by_group(examples: dict[str, np.ndarray], class_names: Sequence[str]) -> dict[str, Any]:
    """`per_group_accuracy`, and `worst_group` where there is one; nothing for a data set without groups.

    Of more than `MOST_GROUPS` groups the less accurate ones are kept.
    """
    if "group" not in examples:
        return {}
    groups = group_accuracies(examples["probabilities"], examples["label"], examples["group"])
    worst, _ = worst_group(groups)
    kept = sorted(groups, key=lambda group: group.accuracy)[:MOST_GROUPS]
    rows = [
        {"class": class_names[label], "group": name, "examples": count, "accuracy": value}
        for label, name, count, value in sorted(kept)
    ]
    if worst is None:
        return {"per_group_accuracy": rows}
    about = {"class": class_names[worst.label], "group": worst.group, "examples": worst.examples}
    return {"per_group_accuracy": rows, "worst_group": about}
