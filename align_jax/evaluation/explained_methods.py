"""The attribution methods and metrics that `config.explain` names, of trained networks, in one compiled program."""

import json
from collections.abc import Collection
from typing import Any

import jax
import ml_collections
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from align_jax import explanations, saliency
from align_jax.data.domains import DomainData
from align_jax.errors import UserError
from align_jax.explanations.metrics import AGAINST_A_MASK
from align_jax.networks import Classifier, Masker
from align_jax.preprocessing import IMAGENET
from align_jax.saliency.targets import Classes
from align_jax.states import ClassifierState, States

# The images whose explanations are scored, and their random maps, are the same in every run: methods are compared in
# pairs.
CONTROL_SEED = 0
# Insertion starts from a blur, as its authors do: soft edges do not look like an object.
INSERTION_FILL = "blur"
# The masker's own map, where a page shows it beside the classifier's.
LEARNED_MASK = "learned_mask"


def score_of(
    networks: tuple[Classifier, Masker | None],
    settings: ml_collections.ConfigDict,
    *,
    with_masks: bool,
    controls: Collection[str] = ("random",),
    learned_mask: bool = False,
) -> explanations.Score:
    """`explanations.evaluator` of trained networks, whose variables are their states.

    Args:
      networks: the classifier, whose last map the class activation maps are of; and the masker, if one was trained.
      settings: `config.explain`.
      with_masks: whether batches have `mask` [b h w]; without, the metrics that need it are left out.
      controls: the maps beside the methods.
      learned_mask: whether the masker's mask is scored as a method is, under the name `LEARNED_MASK`.

    Raises:
      ValueError: without masks, no metric is left.
    """
    classifier, masker = networks
    metrics = tuple(name for name in settings.metrics if with_masks or name not in AGAINST_A_MASK)
    if not metrics:
        raise ValueError(f"{', '.join(settings.metrics)}: true masks are needed, and the images have none")

    def logits(states: States, image: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        return classifier.logits(states[0].params, states[0].batch_stats, image)

    methods = {name: _of_classifier(classifier, saliency.METHODS[name]) for name in settings.methods}
    if learned_mask and masker is not None:
        methods[LEARNED_MASK] = _of_masker(masker)
    return explanations.evaluator(
        logits,
        methods=methods,
        metrics=metrics,
        fill=settings.fill,
        insertion_fill=INSERTION_FILL,
        steps=settings.steps,
        target=settings.target,
        controls=controls,
        preprocessing=IMAGENET,
    )


def controls_of(settings: ml_collections.ConfigDict) -> tuple[str, ...]:
    """The controls that are scored beside a run's methods.

    The random map is enough to see whether one method says anything. A table of several methods has all of them, for
    the cost of three methods: some maps that know nothing of the classifier score better than a random one.
    """
    return explanations.CONTROLS if len(settings.methods) > 1 else ("random",)


def control_keys(place: Int[Array, " b"]) -> Key[Array, " b"]:
    """The keys of the images' random maps, by their place in the test's scored images, whatever batch they are in."""
    return jax.vmap(lambda place: jax.random.fold_in(jax.random.key(CONTROL_SEED), place))(place)


def check_metrics(settings: ml_collections.ConfigDict, data: DomainData) -> None:
    """Raises a UserError if every metric of `config.explain` needs true masks, and the data set has none."""
    if not data.has_masks and set(settings.metrics) <= set(AGAINST_A_MASK):
        others = [name for name in explanations.METRICS if name not in AGAINST_A_MASK]
        raise UserError(
            f"config.explain.metrics is {', '.join(settings.metrics)}, for which true masks are needed, and "
            f"{data.name} has none; give one of {', '.join(others)} as well."
        )


def explain_settings(settings: ml_collections.ConfigDict, *, with_masks: bool) -> dict[str, Any]:
    """`config.explain` as `summary.json` has it: what the numbers depend on, with the fill of insertion.

    `images` is the largest number of images of a test; a result says how many there were. Metrics that need masks are
    left out where there are none.
    """
    measured = [name for name in settings.metrics if with_masks or name not in AGAINST_A_MASK]
    return json.loads(settings.to_json()) | {"metrics": measured, "insertion_fill": INSERTION_FILL}


def cut_of(classifier: Classifier, state: ClassifierState) -> saliency.Cut:
    """The classifier, cut behind its last map."""

    def features(state: ClassifierState, image: Float[Array, "b h w c"]) -> Float[Array, "b u v d"]:
        return classifier.features(state.params, state.batch_stats, image, False, None)[0]

    return saliency.cut(Partial(features, state), Partial(classifier.head, state.params))


def _of_classifier(classifier: Classifier, method: saliency.Method) -> explanations.Method:
    def maps(states: States, image: Float[Array, "b h w c"], classes: Classes) -> Float[Array, "b h w"]:
        return method(cut_of(classifier, states[0]), image, classes)

    return maps


def _of_masker(masker: Masker) -> explanations.Method:
    def maps(states: States, image: Float[Array, "b h w c"], classes: Classes) -> Float[Array, "b h w"]:
        state = states[1]
        assert state is not None  # there is a masker
        return masker.mask(state.params, state.batch_stats, image, False, None)[0][..., 0]

    return maps
