"""The forms of L_egl that are compared: arrays in, one value per example out, as in `align_jax.losses`.

A *contribution* is what a cell of a map adds to a logit, before any normalisation: Grad-CAM, whose sum over the cells
is the logit less the head's bias where the head is a mean and a linear layer. A term's parameters are named after the
quantities in `maps` and `align_jax.forward`. Masks are constants. All terms are finite, with finite gradients, for zero
maps and for masks that are 0 or 1 everywhere.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax import losses, saliency


def _inside(mask: Float[Array, "b H W 1"], height: int, width: int) -> Float[Array, "b {height} {width}"]:
    return saliency.to_grid(jax.lax.stop_gradient(mask), height, width)


def share_beside(contribution: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`1 - sum M [c]_+ / sum [c]_+`: the share of the positive contributions that lies beside the mask; in [0, 1].

    The sums go over maps and cells. The scale of an example's contributions does not matter. Where none is positive
    there is nothing to move: the share is 0.

    Source: the energy loss of Rao et al. 2023, "Studying How to Efficiently and Effectively Guide Models with
      Explanations", which has bounding boxes in place of masks.
    """
    examples, maps, height, width = contribution.shape
    # One wide map for each example, so that all of its maps are divided by the same number.
    positive = saliency.normalise_max(contribution.reshape(examples, maps * height, width)).reshape(contribution.shape)
    total = positive.sum((1, 2, 3))
    beside = (positive * (1 - _inside(mask, height, width))[:, None]).sum((1, 2, 3))
    return jnp.where(total > 0, beside / jnp.where(total > 0, total, 1.0), 0.0)


def energy(label_map: Float[Array, "b u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`share_beside` of the label's map, as in its source."""
    return share_beside(label_map[:, None], mask)


def energy_of_all_classes(evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`share_beside` of the maps of all classes' centred logits.

    In each cell these sum to 0 over classes, so that the share of what is positive is the share of what is not 0.
    """
    return share_beside(evidence, mask)


def alignment_without_normalisation(
    label_map: Float[Array, "b u v"], mask: Float[Array, "b H W 1"]
) -> Float[Array, " b"]:
    """BCE(sigmoid(s), M), s a cell's contribution times the number of cells.

    s is the label's logit (less the bias) of an image whose cells are all like this one. No cell's value depends on
    the other cells, as it does after min-max. No evidence is a half, and a target of 0 asks for evidence *against* the
    label.
    """
    cells = label_map.shape[1] * label_map.shape[2]
    return losses.binary_cross_entropy(jax.nn.sigmoid(cells * label_map), _inside(mask, *label_map.shape[1:]))


def evidence_in_sum(evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """The mean square over classes of what all cells beside the mask together add to the centred logits.

    Many small contributions count as much as few large ones, evidence for other classes and against the label counts,
    and contributions of both signs to one logit may cancel. 0 where the cells beside the mask change no prediction.
    """
    beside = 1 - _inside(mask, *evidence.shape[2:])
    return jnp.square((evidence.astype(jnp.float32) * beside[:, None]).sum((2, 3))).mean(1)


def earlier_alignment(earlier_label_map: Float[Array, "b u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """The paper's form on an earlier map: BCE of the min-max normalised Grad-CAM."""
    return losses.alignment(saliency.normalise_minmax(earlier_label_map), mask)


def earlier_energy(earlier_evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`energy_of_all_classes` on an earlier map."""
    return share_beside(earlier_evidence, mask)


def earlier_evidence_in_sum(
    earlier_evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]
) -> Float[Array, " b"]:
    """`evidence_in_sum` on an earlier map."""
    return evidence_in_sum(earlier_evidence, mask)


# By `config.guidance_form.form`; "bce" is the paper's.
FORMS = {
    "bce": losses.alignment,
    "bce_without_normalisation": alignment_without_normalisation,
    "energy": energy,
    "energy_of_all_classes": energy_of_all_classes,
    "evidence_in_sum": evidence_in_sum,
    "earlier_bce": earlier_alignment,
    "earlier_energy": earlier_energy,
    "earlier_evidence_in_sum": earlier_evidence_in_sum,
}
