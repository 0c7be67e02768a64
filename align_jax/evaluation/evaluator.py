"""How good are the predictions and the explanations, domain by domain?

Scores are computed for each example on the devices and averaged on the host, so that padding, empty masks and zero maps
are left out rather than counted, and errors can be clustered. Saliency here is the usual Grad-CAM (ReLU, divided by its
maximum, upsampled bilinearly), of the predicted class unless the config says otherwise.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from align_jax import saliency
from align_jax.data.domains import EvaluationSplit
from align_jax.data.normalise import as_network_input
from align_jax.data.pipeline import DEVICE_FIELDS, evaluation_batches
from align_jax.data.splits import seeded_subset
from align_jax.evaluation.bootstrap import clustered_standard_error
from align_jax.evaluation.metrics import accuracy, auc, balanced_accuracy, mean_where_defined, per_class_accuracy
from align_jax.explanations import faithfulness, localisation
from align_jax.forward import Batch
from align_jax.losses import cross_entropy
from align_jax.networks import Classifier, Masker
from align_jax.runtime.sharding import compile_step, place_batch
from align_jax.states import ClassifierState, MaskerState

# The faithfulness subset and its random maps are the same for every run, so that methods can be compared in pairs.
CONTROL_SEED = 0


class ExplainedBatch(NamedTuple):
    """A batch, predicted and explained.

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
    features, _ = classifier.features(classifier_state.params, classifier_state.batch_stats, image, False, None)
    logits = classifier.head(classifier_state.params, features).astype(jnp.float32)
    target = logits.argmax(-1) if explained_class == "predicted" else batch["label"]
    raw = saliency.grad_cam(lambda h: classifier.head(classifier_state.params, h), features, target)
    grad_cam = saliency.upsample(saliency.normalise_max(raw), *image.shape[1:3])
    mask = None
    if masker is not None and masker_state is not None:
        mask = masker.mask(masker_state.params, masker_state.batch_stats, image, False, None)[0][..., 0]
    return ExplainedBatch(logits, target, grad_cam, mask)


def scores(explained: ExplainedBatch, batch: Batch) -> dict[str, Array]:
    """What is known of each example: `probabilities` [b k], and [b] arrays that average to a domain's metrics."""
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


def faithfulness_scores(
    classifier: Classifier,
    state: ClassifierState,
    explained: ExplainedBatch,
    batch: Batch,
    key: Key[Array, ""],
    *,
    fill: str,
    insertion_steps: int,
) -> dict[str, Array]:
    """Comprehensiveness, sufficiency and insertion AUC [b] of the Grad-CAMs, and of a random map as the control."""

    def probabilities(image: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        return jax.nn.softmax(classifier.logits(state.params, state.batch_stats, image).astype(jnp.float32))

    result = {}
    image, target = batch["image"], explained.target
    examples, height, width = explained.grad_cam.shape
    control = faithfulness.random_map(key, (examples, height, width))
    for prefix, saliency_map in (("", explained.grad_cam), ("random_", control)):
        both = faithfulness.faithfulness(probabilities, image, saliency_map, target, fill=fill)
        result[f"{prefix}comprehensiveness"] = both.comprehensiveness
        result[f"{prefix}sufficiency"] = both.sufficiency
        result[f"{prefix}insertion_auc"] = faithfulness.insertion_auc(
            probabilities, image, saliency_map, target, steps=insertion_steps
        )
    return result


class Evaluator:
    """The compiled evaluation of one pair of networks; each program is compiled when it is first needed."""

    def __init__(
        self,
        classifier: Classifier,
        masker: Masker | None,
        mesh: jax.sharding.Mesh,
        *,
        image_size: int,
        batch_size: int,
        explained_class: str,
        fill: str,
        insertion_steps: int,
        threads: int,
    ) -> None:
        """`fill` and `insertion_steps` are the faithfulness metrics'; `batch_size` is over all devices.

        `threads` decode.
        """
        self._mesh, self._image_size, self._batch_size, self._threads = mesh, image_size, batch_size, threads

        def explained(states: tuple[ClassifierState, MaskerState | None], batch: Batch) -> ExplainedBatch:
            return explain(classifier, masker, explained_class, *states, batch)

        def faithful(
            states: tuple[ClassifierState, MaskerState | None], batch: Batch, number: Int[Array, ""]
        ) -> dict[str, Array]:
            batch = as_network_input(batch)
            key = jax.random.fold_in(jax.random.key(CONTROL_SEED), number)
            return faithfulness_scores(
                classifier,
                states[0],
                explained(states, batch),
                batch,
                key,
                fill=fill,
                insertion_steps=insertion_steps,
            )

        def scored(states: tuple[ClassifierState, MaskerState | None], batch: Batch) -> dict[str, Array]:
            batch = as_network_input(batch)
            return scores(explained(states, batch), batch)

        self._scores = compile_step(scored, mesh)
        self._faithfulness = compile_step(faithful, mesh)
        self._explain = compile_step(lambda states, batch: explained(states, as_network_input(batch)), mesh)

    def examples(
        self, states: tuple[ClassifierState, MaskerState | None], split: EvaluationSplit, stop: Callable[[], bool]
    ) -> dict[str, np.ndarray]:
        """Scores of every example of a split, with its `id`, `label` and whatever text fields the source has.

        Args:
          states: classifier and masker.
          split: what to evaluate.
          stop: asked between batches; True ends early by raising `Stopped`.
        """
        return self._collect(lambda batch, number: self._scores(states, batch), split, None, stop)

    def faithfulness_examples(
        self,
        states: tuple[ClassifierState, MaskerState | None],
        split: EvaluationSplit,
        most: int,
        stop: Callable[[], bool],
    ) -> dict[str, np.ndarray]:
        """Faithfulness of a seeded subset of at most `most` examples."""
        subset = seeded_subset(len(split.source), most, CONTROL_SEED)
        return self._collect(
            lambda batch, number: self._faithfulness(states, batch, np.int32(number)), split, subset, stop
        )

    def results(
        self,
        states: tuple[ClassifierState, MaskerState | None],
        split: EvaluationSplit,
        class_names: Sequence[str],
        faithfulness_images: int,
        stop: Callable[[], bool],
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `summary.json` says of a split, and the examples' scores behind it.

        Args:
          states: classifier and masker.
          split: what to evaluate.
          class_names: in the order of the logits.
          faithfulness_images: at most so many, seeded, for comprehensiveness, sufficiency and insertion.
          stop: asked between batches; True ends early by raising `Stopped`.
        """
        examples = self.examples(states, split, stop)
        faithful = self.faithfulness_examples(states, split, faithfulness_images, stop)
        scores = summarise({name: faithful[name] for name in faithful.keys() - examples.keys()}) | summarise(examples)
        scores["faithfulness_images"] = len(next(iter(faithful.values())))
        return scores | {"per_class_accuracy": by_class(examples, class_names)}, examples

    def explained_batches(
        self, states: tuple[ClassifierState, MaskerState | None], split: EvaluationSplit, indices: np.ndarray
    ) -> Iterator[tuple[dict[str, Any], ExplainedBatch]]:
        """Batches on the host (`valid` marks padding) with their explanations."""
        for batch in self._batches(split, indices):
            yield batch, jax.device_get(self._explain(states, self._place(batch)))

    def _batches(self, split: EvaluationSplit, indices: np.ndarray | None) -> Iterator[dict[str, Any]]:
        return evaluation_batches(
            split.source, size=self._image_size, batch_size=self._batch_size, threads=self._threads, indices=indices
        )

    def _place(self, batch: dict[str, Any]) -> Batch:
        return place_batch(self._mesh, {name: batch[name] for name in DEVICE_FIELDS if name in batch})

    def _collect(
        self,
        program: Callable[[Batch, int], dict[str, Array]],
        split: EvaluationSplit,
        indices: np.ndarray | None,
        stop: Callable[[], bool],
    ) -> dict[str, np.ndarray]:
        collected: list[dict[str, np.ndarray]] = []
        for number, batch in enumerate(self._batches(split, indices)):
            if stop():
                raise Stopped
            on_host = {
                name: values for name, values in batch.items() if values.ndim == 1 and name not in ("domain", "valid")
            }
            collected.append(
                {
                    name: np.asarray(values)[batch["valid"]]
                    for name, values in (on_host | jax.device_get(program(self._place(batch), number))).items()
                }
            )
        return {name: np.concatenate([part[name] for part in collected]) for name in collected[0]}


class Stopped(Exception):
    """An evaluation was asked to end before it was complete; nothing of it is kept."""


def summarise(examples: dict[str, np.ndarray]) -> dict[str, float | int]:
    """A domain's metrics from its examples' scores: means over the examples for which each is defined.

    Standard errors of the accuracy are bootstrapped over concepts where the data set has them: images of one concept
    are not independent.
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
