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


def energy_of_label(label_map: Float[Array, "b u v"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`1 - sum M [s]_+ / sum [s]_+`: `losses.energy`, of the label's map alone, as in its source."""
    return losses.share_beside(label_map[:, None], _inside(mask, *label_map.shape[1:]))


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
    """`losses.energy` on an earlier map."""
    return losses.energy(earlier_evidence, mask)


def earlier_evidence_in_sum(
    earlier_evidence: Float[Array, "b k u v"], mask: Float[Array, "b H W 1"]
) -> Float[Array, " b"]:
    """`evidence_in_sum` on an earlier map."""
    return evidence_in_sum(earlier_evidence, mask)


# By `config.guidance_form.form`. "bce" is the paper's; ALIGN has it and "energy_of_all_classes".
FORMS = {
    "bce": losses.alignment,
    "bce_without_normalisation": alignment_without_normalisation,
    "energy": energy_of_label,
    "energy_of_all_classes": losses.energy,
    "evidence_in_sum": evidence_in_sum,
    "earlier_bce": earlier_alignment,
    "earlier_energy": earlier_energy,
    "earlier_evidence_in_sum": earlier_evidence_in_sum,
}
