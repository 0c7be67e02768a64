"""The quantities that one update's losses are computed from: each is computed once, and only if a term asks for it.

The two classes live only while a loss function is being traced. Their cached properties are the quantities that the
terms of an objective may name. A property that is never read leaves nothing in the compiled program.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from align_jax import mixup, saliency
from align_jax.batch import Batch, BatchForward, Image
from align_jax.data.normalise import normalise
from align_jax.labels import of_label
from align_jax.networks import BatchStats, Classifier, Masker, Params
from align_jax.runtime.sharding import on_every_device
from align_jax.saliency.in_training import SaliencySettings
from align_jax.swaps import SwapSettings, background_of, pasted, sharpened, swap_partner

Mask = Float[Array, "b h w 1"]

# An update's key is folded with one of these numbers before anything is drawn from it. No two are alike, so both
# networks' updates may be given the same key.
PARTNER, MIXING, TERMS, SWAP, CLEAN_PASS, MIXED_PASS, SWAPPED_PASS, CLASSIFY, MASKER_PASS, MASKER_SWAP = range(10)

# What a profile calls the passes of the classifier in its own update.
PASSES = {CLEAN_PASS: "clean", MIXED_PASS: "mixed", SWAPPED_PASS: "swapped", CLASSIFY: "classify"}

NO_MASKS = "no masks were given: pass masks= to the step"

# The old name, which earlier READMEs imported.
Explanation = SaliencySettings


@dataclasses.dataclass(frozen=True)
class ClassifierForward(BatchForward):
    """The quantities of L_clf, for one batch.

    Attributes:
      params: the classifier's; the loss is differentiated in them.
      batch_stats: the stored BatchNorm statistics before this update.
      batch: `image` [b h w c] normalised, `label` [b], and whatever else the data set has (`domain`, `class_group`,
        `mask`, ...). With `stored_image`, the same images in uint8, mixup takes its partners from there.
      key: the random key of this update alone.
      masks: from the batch to the guiding masks; called only if a term reads `mask`. None without guidance.
      num_domains: how many domains training has; `domain` counts them from 0.
      num_groups: how many pairs of class and group training has; `class_group` counts them from 0.
      swap_settings: how backgrounds are swapped.
    """

    classifier: Classifier
    params: Params
    batch_stats: BatchStats
    batch: Batch
    key: Key[Array, ""]
    masks: Callable[[Batch], Mask] | None
    saliency_settings: SaliencySettings
    num_domains: int = 1
    num_groups: int = 1
    swap_settings: SwapSettings = SwapSettings()  # noqa: RUF009 (frozen)

    def unavailable(self) -> dict[str, str]:
        """Masks, domains, groups and what is computed from them, if the step was not given them, with the reasons."""
        absent = super().unavailable()
        computed = {"domain": "membership", "class_group": "group_membership"}
        absent |= {computed[name]: reason for name, reason in absent.items()}
        return absent if self.masks is not None else absent | {"mask": NO_MASKS, "swapped_logits": NO_MASKS}

    @property
    def num_classes(self) -> int:
        """k, from the logits' shape."""
        return self.logits.shape[-1]

    @property
    def new_batch_stats(self) -> BatchStats:
        """BatchNorm statistics after the clean pass; the mixed images' statistics are never stored."""
        return self._clean[1]

    def _phi(self, features: Float[Array, "b u v d"]) -> Float[Array, "b u v"]:
        settings = self.saliency_settings
        with jax.named_scope("saliency"):
            raw = saliency.grad_cam(self._head, features, self.label, settings.alpha, settings.explained)
            return saliency.NORMALISATIONS[settings.normalise](raw)

    def _head(self, features: Float[Array, "b u v d"]) -> Float[Array, "b k"]:
        return self.classifier.head(self.params, features)

    def _pass(self, image: Image, number: int) -> tuple[Float[Array, "b u v d"], BatchStats]:
        key, lean = jax.random.fold_in(self.key, number), None if number == CLEAN_PASS else self.classifier.lean
        with jax.named_scope(PASSES[number]):
            return (lean or self.classifier.features)(self.params, self.batch_stats, image, True, key)

    @cached_property
    def _clean(self) -> tuple[Float[Array, "b u v d"], BatchStats]:
        return self._pass(self.image, CLEAN_PASS)

    @cached_property
    def mask(self) -> Mask:
        """M(x), or the mask that guides in its place; a constant."""
        assert self.masks is not None
        with jax.named_scope("mask"):
            return jax.lax.stop_gradient(self.masks(self.batch))

    @cached_property
    def swapped_logits(self) -> Float[Array, "b k"]:
        """f(M(x) x + (1 - M(x)) b(x')), see `swaps`; BatchNorm uses the composites, and stores nothing."""
        settings = self.swap_settings
        other = swap_partner(jax.random.fold_in(self.key, SWAP), self.label, settings.partner)
        background = background_of(self.image, self.mask, settings.fill)[other]
        features, _ = self._pass(pasted(self.image, sharpened(self.mask, settings.sharpness), background), SWAPPED_PASS)
        return self._head(features)

    @cached_property
    def membership(self) -> Bool[Array, "d b"]:
        """Whether each example is of each domain. A domain may be absent; an example of no domain counts in no mean."""
        return self.domain[None, :] == jnp.arange(self.num_domains)[:, None]

    @cached_property
    def group_membership(self) -> Bool[Array, "g b"]:
        """Whether each example is of each (class, group), as `membership` of domains."""
        return self.class_group[None, :] == jnp.arange(self.num_groups)[:, None]

    @cached_property
    def random_key(self) -> Key[Array, ""]:
        """A key for a term's own randomness; a term that needs independent draws folds in a number of its own."""
        return jax.random.fold_in(self.key, TERMS)

    @cached_property
    def classify(self) -> Callable[[Image], Float[Array, "b k"]]:
        """From other images to logits, as in training: BatchNorm uses these images' statistics, and stores nothing.

        All calls in one update draw the same dropout, which differs from the clean pass's.
        """

        def classify(image: Image) -> Float[Array, "b k"]:
            features, _ = self._pass(image, CLASSIFY)
            return self._head(features)

        return classify

    @cached_property
    def predict(self) -> Callable[[Image], Float[Array, "b k"]]:
        """From images to logits, as in evaluation: stored statistics, no dropout; no example depends on another."""
        return lambda image: self.classifier.logits(self.params, self.batch_stats, image)

    @cached_property
    def features(self) -> Float[Array, "b u v d"]:
        """The last convolutional map of x."""
        return self._clean[0]

    @cached_property
    def pooled(self) -> Float[Array, "b d"]:
        """The features' spatial mean, in float32."""
        return self.features.astype(jnp.float32).mean((1, 2))

    @cached_property
    def logits(self) -> Float[Array, "b k"]:
        """f(x)."""
        return self._head(self.features)

    @cached_property
    def saliency(self) -> Float[Array, "b u v"]:
        """Phi_y(x), normalised to [0, 1]."""
        return self._phi(self.features)

    @cached_property
    def evidence(self) -> Float[Array, "b k u v"]:
        """What each cell adds to each logit less the mean over classes; neither rectified nor normalised."""
        features = self.features
        with jax.named_scope("saliency"):
            return saliency.evidence(self._head, features, self.saliency_settings.alpha)

    @cached_property
    def partner(self) -> Int[Array, " b"]:
        """For each example, the index of an example of the same class."""
        with jax.named_scope("mixup"):
            return mixup.same_class_partner(jax.random.fold_in(self.key, PARTNER), self.label)

    @cached_property
    def mixing(self) -> Float[Array, " b"]:
        """lambda."""
        key, concentration = jax.random.fold_in(self.key, MIXING), self.saliency_settings.mixing_concentration
        with jax.named_scope("mixup"):
            return on_every_device(mixup.mixing_share(key, self.label.shape[0], concentration))

    @cached_property
    def partner_saliency(self) -> Float[Array, "b u v"]:
        """Phi_y(x')."""
        return self.saliency[self.partner]

    @cached_property
    def mixed_features(self) -> Float[Array, "b u v d"]:
        """The last convolutional map of x~ = lambda x + (1 - lambda) x'; BatchNorm uses the x~, and stores nothing."""
        partner, mixing, stored = self.partner, self.mixing, self.batch.get("stored_image")
        with jax.named_scope("mixup"):
            # The partners lie on other devices: as they are stored, a quarter of the bytes is sent.
            other = self.image[partner] if stored is None else normalise(stored[partner])
            mixed = mixup.blended(self.image, other, mixing)
        return self._pass(mixed, MIXED_PASS)[0]

    @cached_property
    def mixed_logits(self) -> Float[Array, "b k"]:
        """f(x~)."""
        return self._head(self.mixed_features)

    @cached_property
    def mixed_saliency(self) -> Float[Array, "b u v"]:
        """Phi_y(x~)."""
        return self._phi(self.mixed_features)


@dataclasses.dataclass(frozen=True)
class MaskerForward(BatchForward):
    """The quantities of L_mask, for one batch.

    Attributes:
      params: the masker's; the loss is differentiated in them.
      batch_stats: the masker's stored BatchNorm statistics (empty without BatchNorm).
      batch: `image` [b h w c] normalised, and `label` [b].
      key: the random key of this update alone.
      frozen_logits: image -> logits of the frozen classifier. It uses its stored BatchNorm statistics: masked images
        must not leak into them.
      fill: image -> what replaces the pixels that the mask removes (see `fills`).
      swap_settings: how backgrounds are swapped, if other images are to replace what the mask removes; or None.
    """

    masker: Masker
    params: Params
    batch_stats: BatchStats
    batch: Batch
    key: Key[Array, ""]
    frozen_logits: Callable[[Image], Float[Array, "b k"]]
    fill: Callable[[Image], Image]
    swap_settings: SwapSettings | None = None

    @property
    def num_classes(self) -> int:
        """k, from the logits' shape."""
        return self._probabilities.shape[-1]

    @property
    def new_batch_stats(self) -> BatchStats:
        """The masker's BatchNorm statistics after this pass."""
        return self._masked[1]

    @cached_property
    def _masked(self) -> tuple[Mask, BatchStats]:
        key = jax.random.fold_in(self.key, MASKER_PASS)
        with jax.named_scope("mask"):
            return self.masker.mask(self.params, self.batch_stats, self.image, True, key)

    @cached_property
    def _replacements(self) -> tuple[Image, Image]:
        """What replaces the background of each image, and what replaces its object."""
        settings = self.swap_settings
        if settings is None:
            return (self.fill(self.image),) * 2
        other = swap_partner(jax.random.fold_in(self.key, MASKER_SWAP), self.label, settings.partner)
        mask = jax.lax.stop_gradient(self.mask)
        return background_of(self.image, mask, settings.fill)[other], self.image[other]

    @cached_property
    def _probabilities(self) -> Float[Array, "b 2 k"]:
        # Each example's kept and removed versions lie side by side, so each device of the mesh keeps its own examples
        # while both versions go through the frozen classifier in one batch.
        background, instead = self._replacements
        kept = pasted(self.image, self.mask, background)
        removed = pasted(instead, self.mask, self.image)
        both = jnp.stack([kept, removed], axis=1).reshape(-1, *self.image.shape[1:])
        with jax.named_scope("frozen_classifier"):
            probabilities = jax.nn.softmax(self.frozen_logits(both).astype(jnp.float32))
        return probabilities.reshape(-1, 2, probabilities.shape[-1])

    @cached_property
    def mask(self) -> Mask:
        """M(x), differentiable."""
        return self._masked[0]

    @cached_property
    def probability_kept(self) -> Float[Array, " b"]:
        """p_y(x * M(x))."""
        return of_label(self._probabilities[:, 0], self.label)

    @cached_property
    def probability_removed(self) -> Float[Array, " b"]:
        """p_y(x * (1 - M(x)))."""
        return of_label(self._probabilities[:, 1], self.label)
