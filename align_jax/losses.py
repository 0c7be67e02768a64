"""Every term of ALIGN's two objectives: arrays in, one value per example out.

Terms know nothing of configs, optimisers, devices or weights. All compute in float32 whatever the input's type, and all
are finite, with finite gradients, for zero maps, saturated masks and bfloat16 inputs. A term's parameters are named
after the quantities that it reads from a forward pass: an objective passes them by name (see `objectives`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from align_jax.labels import of_label, valid_or_nan
from align_jax.saliency import normalise_max, to_grid, upsample

PROBABILITY_EPSILON = 1e-6


# ---- the masker's objective: L_mask = L_dist + l1 * L_sparsity + l2 * L_smooth ---------------------------------------


def distinction(probability_kept: Float[Array, " b"], probability_removed: Float[Array, " b"]) -> Float[Array, " b"]:
    """L_dist: `(dist(x) - 1)^2` with `dist(x) = p_y(x * M(x)) - p_y(x * (1 - M(x)))`; in [0, 4].

    Source: ALIGN, "Masker objective".
    """
    return (probability_kept.astype(jnp.float32) - probability_removed.astype(jnp.float32) - 1.0) ** 2


def sparsity(mask: Float[Array, "b h w 1"]) -> Float[Array, " b"]:
    """L_sparsity: `||M(x)||_1`, as the mean over pixels; in [0, 1].

    Source: ALIGN, "Masker objective"; the mean over pixels is a decision of this project.
    """
    return jnp.abs(mask.astype(jnp.float32)).mean((1, 2, 3))


def smoothness(mask: Float[Array, "b h w 1"]) -> Float[Array, " b"]:
    """L_smooth: mean |vertical difference| + mean |horizontal difference| of neighbouring pixels; in [0, 2].

    Source: ALIGN, "Masker objective".
    """
    mask = mask.astype(jnp.float32)
    vertical = jnp.abs(mask[:, 1:] - mask[:, :-1]).mean((1, 2, 3))
    horizontal = jnp.abs(mask[:, :, 1:] - mask[:, :, :-1]).mean((1, 2, 3))
    return vertical + horizontal


# ---- the classifier's objective: L_clf = L_cls + l3 * L_egl + l4 * L_reg ---------------------------------------------


def cross_entropy(logits: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """L_cls: `-log softmax(f(x))_y`, in nats.

    Raises:
      ValueError: a label outside 0 ... k - 1; inside `jax.jit` its loss and gradient are NaN instead (see `labels`).

    Source: ALIGN, "Classifier objective".
    """
    return -of_label(jax.nn.log_softmax(logits.astype(jnp.float32)), label)


def binary_cross_entropy(probability: Float[Array, "b h w"], target: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """`-(t log p + (1 - t) log(1 - p))`, mean over the map, with p clipped to [1e-6, 1 - 1e-6], in nats."""
    probability, target = probability.astype(jnp.float32), target.astype(jnp.float32)
    # p and 1 - p are clipped separately: in float32, 1 - (1 - 1e-6) is 1.3 % off, and a min-max map has a cell at 1.
    present, absent = (
        jnp.log(jnp.clip(p, PROBABILITY_EPSILON, 1 - PROBABILITY_EPSILON)) for p in (probability, 1 - probability)
    )
    return -(target * present + (1 - target) * absent).mean((1, 2))


def alignment(saliency: Float[Array, "b h w"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """L_egl: `BCE(Phi_y(x), M(x))` on the saliency map's grid; the mask is area-averaged down to it.

    Args:
      saliency: Phi, normalised to [0, 1].
      mask: M(x) in [0, 1], a constant: no gradient reaches it.

    Source: ALIGN, "Classifier objective".
    """
    target = to_grid(jax.lax.stop_gradient(mask), *saliency.shape[1:])
    return binary_cross_entropy(saliency, target)


def alignment_at_image_resolution(saliency: Float[Array, "b h w"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """L_egl with Phi upsampled bilinearly to the mask's grid instead; otherwise as `alignment`."""
    upsampled = upsample(saliency, mask.shape[1], mask.shape[2])
    return binary_cross_entropy(upsampled, jax.lax.stop_gradient(mask)[..., 0])


# ---- L_reg, from DRE: 1.0 * consistency + 0.5 * sparsity + 0.1 * mixed cross-entropy ---------------------------------


def consistency(
    mixed_saliency: Float[Array, "b h w"],
    saliency: Float[Array, "b h w"],
    partner_saliency: Float[Array, "b h w"],
    mixing: Float[Array, " b"],
) -> Float[Array, " b"]:
    """`mean |Phi(x~) - (lambda Phi(x) + (1 - lambda) Phi(x'))|`, x' of x's class, `x~ = lambda x + (1 - lambda) x'`.

    Source: DRE (CVPR 2023), explanation consistency; ALIGN, L_reg.
    """
    share = mixing.astype(jnp.float32)[:, None, None]
    expected = share * saliency.astype(jnp.float32) + (1 - share) * partner_saliency.astype(jnp.float32)
    difference = mixed_saliency.astype(jnp.float32) - expected
    # |difference|, with its sign computed once. For an image mixed (nearly) with itself the difference is rounding. XLA
    # would compute it again for each gradient, and where the signs then disagree, the gradients of the two sides add up
    # instead of cancelling.
    sign = jax.lax.optimization_barrier(jax.lax.stop_gradient(jnp.sign(difference)))
    return (sign * difference).mean((1, 2))


def saliency_sparsity(saliency: Float[Array, "b h w"], mixed_saliency: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """`(mean |Phi(x)| + mean |Phi(x~)|) / 2`.

    Source: the paper of DRE (CVPR 2023); ALIGN, L_reg.
    """
    both = jnp.abs(saliency.astype(jnp.float32)) + jnp.abs(mixed_saliency.astype(jnp.float32))
    return 0.5 * both.mean((1, 2))


def saliency_sparsity_as_published(
    saliency: Float[Array, "b h w"], mixed_saliency: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """As `saliency_sparsity`, with the maximum over rows, then the mean over columns.

    Source: DRE's published code, whose "L1 norm" is the induced matrix norm's maximum, averaged.
    """
    rows = jnp.abs(saliency.astype(jnp.float32)).max(1) + jnp.abs(mixed_saliency.astype(jnp.float32)).max(1)
    return 0.5 * rows.mean(1)


def mixed_cross_entropy(mixed_logits: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """Cross-entropy on the mixed image, whose two halves share the label; labels are treated as by `cross_entropy`.

    Source: DRE (CVPR 2023); ALIGN, L_reg.
    """
    return cross_entropy(mixed_logits, label)


# ---- beyond the paper ------------------------------------------------------------------------------------------------


def swapped_cross_entropy(swapped_logits: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """Cross-entropy on `M(x) x + (1 - M(x)) b(x')`: another image replaces what the mask removes, and the label stays.

    Where x' keeps its own object (see `swaps.SwapSettings`), this is a CutMix whose patch is cut out by the mask and
    keeps the whole label. The term asks the prediction to depend on what the mask keeps; L_egl asks Grad-CAM to lie
    there. Labels are treated as by `cross_entropy`.

    Source: beyond the paper.
    """
    return cross_entropy(swapped_logits, label)


def energy(evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`1 - sum M [e]_+ / sum [e]_+`, over all classes and cells: the share of evidence beside the mask; in [0, 1].

    Neither the scale of an example's evidence matters nor how it is spread over cells. In each cell evidence sums to 0
    over classes, so that what is positive is half of all: evidence against the label and for other classes counts as
    that for the label. Without any evidence there is nothing to move: the share is 0.

    Args:
      evidence: see `saliency.evidence`.
      mask: M(x) in [0, 1], a constant: no gradient reaches it.

    Source: beyond the paper; the energy loss of Rao et al. 2023, "Studying How to Efficiently and Effectively Guide
      Models with Explanations", which takes the label's map alone, and bounding boxes in place of masks.
    """
    return share_beside(evidence, to_grid(jax.lax.stop_gradient(mask), *evidence.shape[2:]))


def energy_at_image_resolution(evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """The evidence upsampled bilinearly to the mask's grid instead; otherwise as `energy`."""
    fine = jax.image.resize(evidence, (*evidence.shape[:2], *mask.shape[1:3]), "bilinear")
    return share_beside(fine, jax.lax.stop_gradient(mask)[..., 0])


def share_beside(maps: Float[Array, "b k h w"], inside: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """`1 - sum M [m]_+ / sum [m]_+`, over an example's maps and cells, in float32; 0 where nothing is positive."""
    examples, count, height, width = maps.shape
    # One wide map for each example, so that all of its maps are divided by the same number.
    positive = normalise_max(maps.reshape(examples, count * height, width)).reshape(maps.shape)
    total = positive.sum((1, 2, 3))
    beside = (positive * (1 - inside.astype(jnp.float32))[:, None]).sum((1, 2, 3))
    return jnp.where(total > 0, beside / jnp.where(total > 0, total, 1.0), 0.0)


# ---- from per-example values to a scalar -----------------------------------------------------------------------------


def mean_over_batch(values: Float[Array, " b"], label: Int[Array, " b"], num_classes: int) -> Float[Array, ""]:
    """The mean over examples. `label` and `num_classes` are unused: the signature is that of `mean_over_classes`."""
    del label, num_classes
    return values.mean()


def mean_over_classes(values: Float[Array, " b"], label: Int[Array, " b"], num_classes: int) -> Float[Array, ""]:
    """The mean within each class, summed over the classes present and divided by the number of *all* classes.

    Raises:
      ValueError: a label outside 0 ... k - 1; inside `jax.jit` the result is NaN instead.

    Source: DRE's published code (a batch without a class has a smaller loss).
    """
    member: Bool[Array, "k b"] = label[None, :] == jnp.arange(num_classes)[:, None]
    count = member.sum(1)
    # An example of no class would be left out of every mean.
    values = values * valid_or_nan(label, num_classes)
    total = jnp.where(member | jnp.isnan(values), values[None, :], 0.0).sum(1)
    return (total / jnp.maximum(count, 1)).sum() / num_classes


# ---- means over domains, some of which a batch may lack --------------------------------------------------------------


def domain_means(values: Float[Array, " b"], membership: Bool[Array, "d b"]) -> Float[Array, " d"]:
    """Each domain's mean; 0 for a domain that the batch lacks."""
    return jnp.where(membership, values[None, :], 0.0).sum(1) / jnp.maximum(membership.sum(1), 1)


def mean_over_present(values: Float[Array, " d"], membership: Bool[Array, "d b"]) -> Float[Array, ""]:
    """The mean over the domains that the batch has."""
    present = membership.any(1)
    return jnp.where(present, values, 0.0).sum() / jnp.maximum(present.sum(), 1)
