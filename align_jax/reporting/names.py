"""What the roles, losses and methods are called on a page; the metrics have their names in `columns.py`."""

import math
from collections.abc import Mapping, Sequence

from align_jax.algorithms import ALGORITHMS
from align_jax.data.domains import BACKGROUND_ROLES
from align_jax.data.load import find_dataset
from align_jax.tables.table import MISSING, shortened

ROLE_TITLES = {
    "validation": "Validation",
    "id": "In distribution",
    "background_shift": "Background shift",
    "aligned": "Aligned backgrounds",
    "neutral": "Neutral backgrounds",
    "conflicting": "Conflicting backgrounds",
    "ood_aligned": "Out of distribution, aligned backgrounds",
    "ood_neutral": "Out of distribution, neutral backgrounds",
    "ood_conflicting": "Out of distribution, conflicting backgrounds",
    "ood": "Out of distribution",
}
ROLES = tuple(ROLE_TITLES)
"""The order in which a page speaks of them: from what the model saw to what it never saw."""

BY_BACKGROUND: Mapping[str, Sequence[str]] = {str(plain): roles for plain, roles in BACKGROUND_ROLES.items()}
"""The tests in which the background decides (aligned, neutral, conflicting), by the plain test of the same domains."""

ON_BACKGROUNDS = tuple(role for roles in BY_BACKGROUND.values() for role in roles)
"""All of these."""

GAP_AND_FLIPS = (
    "Gap: accuracy on a class's own background minus accuracy on another class's. Flips: the share of objects whose "
    "prediction differs between the two."
)

PROTOCOLS = {
    "in_domain": "in domain: trained and tested within one domain",
    "single_source": "single source: trained on one domain, tested on the others",
    "leave_one_out": "leave one out: trained on all domains but one",
}

GUIDANCE = {
    "learned": "learned masks",
    "true": "true masks",
    "folder": "masks made elsewhere",
    "grey": "grey images as masks",
    "none": "none",
}

SELECTION = {
    "training_domain_validation": (
        "best on the validation split of the training domains; with guidance, of those after warm-up"
    ),
    "last": "the last one, without selection",
    "oracle": "ORACLE: best on the test itself, whose labels nobody has when a model is chosen",
}

SERIES_TITLES = {
    "cls": "Cross-entropy",
    "consistency": "Attribution consistency",
    "mixed_cls": "Cross-entropy, mixed image",
    "egl": "Alignment with the mask",
    "accuracy": "Accuracy",
    "distinction": "Distinction",
    "smoothness": "Mask smoothness",
    "mask_mean": "Mean of the mask",
    "auc": "AUC",
    "deletion_auc": "Deletion AUC",
    "adcc": "ADCC",
    "road": "ROAD",
    "roc_auc": "ROC AUC",
    "mask_iou": "Mask IoU",
    "cam_energy": "Grad-CAM energy inside the object",
    "images_per_s": "Images per second",
    "data_wait_fraction": "Share of time waiting for data",
}


def role_title(role: str) -> str:
    return ROLE_TITLES.get(role, shortened(_words(role)))


def dataset_title(dataset: str) -> str:
    """`Terra Incognita`; an unknown data set, such as a folder of the user's, has its own name as title."""
    return find_dataset(dataset).title


def role_meaning(role: str, dataset: str, selection: str = "") -> str:
    """One sentence on what a test of this role holds back from training; empty for an unknown role.

    An oracle's `selection` holds nothing back.
    """
    domains, examples = find_dataset(dataset).domains_called, find_dataset(dataset).examples_called
    unseen = "nothing of it was seen in training"
    if selection == "oracle":
        unseen = "nothing of it was trained on, but the ORACLE chose the checkpoint by the labels of the tests"
    return {
        "validation": f"Training {domains}, {examples} kept apart from training to watch and select the model.",
        "id": f"Training {domains}, unseen {examples}.",
        "background_shift": f"Training {domains}, unseen {examples}, random backgrounds.",
        "ood": f"A held-out {domains[:-1]}: {unseen}.",
        "aligned": f"Training {domains}, unseen {examples}, each on its class's own background.",
        "neutral": f"Training {domains}, unseen {examples}, each on a background that belongs to no class.",
        "conflicting": f"Training {domains}, unseen {examples}, each on another class's own background.",
        "ood_aligned": f"A held-out {domains[:-1]}, each object on its class's own background.",
        "ood_neutral": f"A held-out {domains[:-1]}, each object on a background that belongs to no class.",
        "ood_conflicting": f"A held-out {domains[:-1]}, each object on another class's own background.",
    }.get(role, "")


def in_role_order(roles: Sequence[str]) -> list[str]:
    """Distinct roles, the known ones first and in the page's order."""
    return [r for r in ROLES if r in roles] + sorted({r for r in roles if r not in ROLES})


def tested_roles(roles: Sequence[str]) -> list[str]:
    """The same without validation, which is not a test."""
    return [role for role in in_role_order(roles) if role != "validation"]


def plain_tests(roles: Sequence[str]) -> list[str]:
    """The tests without those in which the background decides, which are reported side by side."""
    return [role for role in tested_roles(roles) if role not in ON_BACKGROUNDS]


def series_title(key: str) -> str:
    """`classifier/mixed_cls` as `Cross-entropy, mixed image`; an unknown key in its own words."""
    group, _, name = key.rpartition("/")
    if name == "sparsity":
        return "Mask sparsity" if group == "masker" else "Attribution sparsity"
    if name == "loss" and group:
        return "Total loss"
    return SERIES_TITLES.get(name, _words(name))


def method_name(algorithm: str, guidance: str = "") -> str:
    """`ALIGN`, or `ALIGN, true masks` for a guidance that is not the method's own."""
    known = ALGORITHMS.get(algorithm)
    if known is None:  # a method of the user's own
        return algorithm
    title = known.title or algorithm
    if not known.guided_terms or guidance in ("", known.guidance):
        return title
    return f"{title}, {'no guidance' if guidance == 'none' else GUIDANCE.get(guidance, guidance)}"


def class_name(names: Sequence[str], label: int) -> str:
    return names[label] if 0 <= label < len(names) else f"class {label}"


def selection_meaning(selection: str) -> str:
    return SELECTION.get(selection, shortened(selection.replace("_", " ")))


def oracle_warning(checkpoint: str) -> str:
    """The warning before the numbers of an oracle; `checkpoint` is the subject of its sentence."""
    return (
        f"ORACLE SELECTION: {checkpoint} was chosen by its accuracy on the reported test itself, with labels that "
        "nobody has when a model is chosen. Such numbers bound what a better rule could reach; they are no results."
    )


def listed(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def duration(seconds: float | None) -> str:
    """`75.2` as `1 min 15 s`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _words(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]
