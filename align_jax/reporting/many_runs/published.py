"""Numbers that others published, as they printed them, each with its source and the protocol that it belongs to.

They stand beside ours in rows of their own, under the same data set, protocol and metric only; they are never averaged
with ours, nor compared with them in bold. Methods were selected, tuned and seeded by their authors' rules, which the
source's `protocol` says as far as it is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from align_jax.data.load import find_dataset


@dataclass(frozen=True)
class Source:
    """Who printed a number, and what is known of how it came about."""

    name: str
    reference: str
    protocol: str


@dataclass(frozen=True)
class Published:
    """A method's row in somebody's table.

    Attributes:
      method: as the source calls it.
      dataset, protocol, metric: what it may stand beside, in this project's words.
      classes: how many the data set has there.
      source: who printed it.
      values: by domain, as printed: percent for accuracies, else the plain number.
      average: as printed; empty where the source gives none.
      note: what else a reader must know.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    classes: int
    source: Source
    values: Mapping[str, str] = field(default_factory=dict)
    average: str = ""
    note: str = ""


ALIGN_PAPER = Source(
    "ALIGN's paper",
    "Hong et al., From Attribution to Action: Jointly ALIGNing Predictions and Explanations (AAAI 2026)",
    "trained and tested within one domain; its rule of selection and number of seeds are not known here",
)
DOMAINBED = Source(
    "DomainBed",
    "Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization (ICLR 2021)",
    "ResNet-50, 224 pixels, training-domain validation, hyper-parameters by random search",
)
DRE_PAPER = Source(
    "DRE's paper",
    "Li et al., Are Data-Driven Explanations Robust Against Out-of-Distribution Data? (CVPR 2023)",
    "ResNet-50, 5000 steps, checkpoint with the lowest cross-entropy on the training domains' validation part",
)

VLCS, TERRA = find_dataset("vlcs").domains, find_dataset("terra_incognita").domains
CLASSES = {name: len(find_dataset(name).classes) for name in ("vlcs", "terra_incognita")}

_AUC = (
    "which AUC ALIGN's paper means (of the classifier, or by insertion) is not known; ours is macro one-vs-rest ROC AUC"
)
_INSERTION = "DRE's insertion AUC; steps and fill of the insertion may differ from ours"


def _in_domain(method: str, dataset: str, values: Mapping[str, str], metric: str = "accuracy") -> Published:
    note = _AUC if metric == "auc" else ""
    return Published(method, dataset, "in_domain", metric, CLASSES[dataset], ALIGN_PAPER, values, note=note)


def _leave_one_out(
    method: str, dataset: str, average: str, source: Source, values: Mapping[str, str] | None = None
) -> Published:
    return Published(
        method, dataset, "leave_one_out", "accuracy", CLASSES[dataset], source, values or {}, average=average
    )


def _insertion(method: str, dataset: str, average: str) -> Published:
    classes = CLASSES[dataset]
    return Published(
        method, dataset, "leave_one_out", "insertion_auc", classes, DRE_PAPER, average=average, note=_INSERTION
    )


PUBLISHED: tuple[Published, ...] = (
    _in_domain("ERM", "vlcs", {"VOC2007": "85.35", "LabelMe": "80.80", "Caltech101": "99.73", "SUN09": "80.87"}),
    _in_domain("SGT", "vlcs", {"VOC2007": "86.64", "LabelMe": "79.54", "Caltech101": "99.52", "SUN09": "79.23"}),
    _in_domain("DRE", "vlcs", {"VOC2007": "85.61", "LabelMe": "80.31", "Caltech101": "99.95", "SUN09": "81.76"}),
    _in_domain("m-SAM (ablation)", "vlcs", {"VOC2007": "85.51"}),
    _in_domain("m-Gray (ablation)", "vlcs", {"VOC2007": "86.90"}),
    _in_domain("ALIGN", "vlcs", {"VOC2007": "86.91", "LabelMe": "80.23", "Caltech101": "99.98", "SUN09": "82.54"}),
    _in_domain("ERM", "vlcs", {"VOC2007": "76.95"}, "auc"),
    _in_domain("SGT", "vlcs", {"VOC2007": "72.91"}, "auc"),
    _in_domain("DRE", "vlcs", {"VOC2007": "77.41"}, "auc"),
    _in_domain("m-SAM (ablation)", "vlcs", {"VOC2007": "80.32"}, "auc"),
    _in_domain("m-Gray (ablation)", "vlcs", {"VOC2007": "79.15"}, "auc"),
    _in_domain("ALIGN", "vlcs", {"VOC2007": "82.18"}, "auc"),
    _in_domain(
        "ERM",
        "terra_incognita",
        {"location_38": "77.89", "location_43": "76.35", "location_46": "72.69", "location_100": "88.47"},
    ),
    _in_domain(
        "DRE",
        "terra_incognita",
        {"location_38": "77.37", "location_43": "74.89", "location_46": "73.95", "location_100": "88.39"},
    ),
    _in_domain(
        "ALIGN",
        "terra_incognita",
        {"location_38": "83.62", "location_43": "72.47", "location_46": "77.27", "location_100": "90.54"},
    ),
    _leave_one_out("ERM", "vlcs", "77.5", DOMAINBED, dict(zip(VLCS, ("97.7", "64.3", "73.4", "74.6"), strict=True))),
    _leave_one_out("IRM", "vlcs", "78.5", DOMAINBED),
    _leave_one_out("GroupDRO", "vlcs", "76.7", DOMAINBED),
    _leave_one_out("Mixup", "vlcs", "77.4", DOMAINBED),
    _leave_one_out("CORAL", "vlcs", "78.8", DOMAINBED),
    _leave_one_out("DRE", "vlcs", "79.5", DRE_PAPER, dict(zip(VLCS, ("98.3", "65.5", "73.8", "80.2"), strict=True))),
    _leave_one_out(
        "ERM", "terra_incognita", "46.1", DOMAINBED, dict(zip(TERRA, ("49.8", "42.1", "56.9", "35.7"), strict=True))
    ),
    _leave_one_out("IRM", "terra_incognita", "47.6", DOMAINBED),
    _leave_one_out("GroupDRO", "terra_incognita", "43.2", DOMAINBED),
    _leave_one_out("Mixup", "terra_incognita", "47.9", DOMAINBED),
    _leave_one_out("CORAL", "terra_incognita", "47.6", DOMAINBED),
    _leave_one_out(
        "DRE", "terra_incognita", "53.0", DRE_PAPER, dict(zip(TERRA, ("64.1", "48.1", "57.1", "42.8"), strict=True))
    ),
    _insertion("ERM", "vlcs", "0.819"),
    _insertion("DRE", "vlcs", "0.840"),
    _insertion("ERM", "terra_incognita", "0.584"),
    _insertion("DRE", "terra_incognita", "0.644"),
)


def published_results(dataset: str, protocol: str, metric: str, classes: int) -> list[Published]:
    """What may stand beside our table of this data set, protocol and metric; empty for another number of classes."""
    asked = (dataset, protocol, metric, classes)
    return [row for row in PUBLISHED if (row.dataset, row.protocol, row.metric, row.classes) == asked]
