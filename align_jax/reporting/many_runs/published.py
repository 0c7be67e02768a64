"""Numbers that others published, as they printed them, each with its source and the protocol that it belongs to.

They stand beside ours in rows of their own, under the same data set, protocol and metric only; they are never averaged
with ours, nor compared with them in bold. Methods were selected, tuned and seeded by their authors' rules, which the
source's `protocol` says as far as it is known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from align_jax.data.load import find_dataset


class Source(NamedTuple):
    """Who printed a number, and what is known of how it came about."""

    name: str
    reference: str
    protocol: str


class Published(NamedTuple):
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
    values: Mapping[str, str]
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

# Of the tables of ALIGN's paper.
COLUMNS = {
    "vlcs": ("VOC2007", "LabelMe", "Caltech101", "SUN09"),
    "terra_incognita": ("location_38", "location_43", "location_46", "location_100"),
}

_AUC = (
    "which AUC ALIGN's paper means (of the classifier, or by insertion) is not known; ours is macro one-vs-rest ROC AUC"
)
_INSERTION = "DRE's insertion AUC; steps and fill of the insertion may differ from ours"


def _in_domain(method: str, dataset: str, values: Sequence[str], metric: str = "accuracy") -> Published:
    """The values are those of the first of the `COLUMNS`."""
    classes, note = len(find_dataset(dataset).classes), _AUC if metric == "auc" else ""
    by_domain = dict(zip(COLUMNS[dataset], values, strict=False))
    return Published(method, dataset, "in_domain", metric, classes, ALIGN_PAPER, by_domain, note=note)


def _leave_one_out(
    method: str, dataset: str, average: str, source: Source, values: Sequence[str] = (), metric: str = "accuracy"
) -> Published:
    """The values are in the order of the data set's domains; there are none where only the average was printed."""
    known, note = find_dataset(dataset), _INSERTION if metric == "insertion_auc" else ""
    by_domain = dict(zip(known.domains, values, strict=True)) if values else {}
    return Published(method, dataset, "leave_one_out", metric, len(known.classes), source, by_domain, average, note)


PUBLISHED: tuple[Published, ...] = (
    _in_domain("ERM", "vlcs", ("85.35", "80.80", "99.73", "80.87")),
    _in_domain("SGT", "vlcs", ("86.64", "79.54", "99.52", "79.23")),
    _in_domain("DRE", "vlcs", ("85.61", "80.31", "99.95", "81.76")),
    _in_domain("m-SAM (ablation)", "vlcs", ("85.51",)),
    _in_domain("m-Gray (ablation)", "vlcs", ("86.90",)),
    _in_domain("ALIGN", "vlcs", ("86.91", "80.23", "99.98", "82.54")),
    _in_domain("ERM", "vlcs", ("76.95",), "auc"),
    _in_domain("SGT", "vlcs", ("72.91",), "auc"),
    _in_domain("DRE", "vlcs", ("77.41",), "auc"),
    _in_domain("m-SAM (ablation)", "vlcs", ("80.32",), "auc"),
    _in_domain("m-Gray (ablation)", "vlcs", ("79.15",), "auc"),
    _in_domain("ALIGN", "vlcs", ("82.18",), "auc"),
    _in_domain("ERM", "terra_incognita", ("77.89", "76.35", "72.69", "88.47")),
    _in_domain("DRE", "terra_incognita", ("77.37", "74.89", "73.95", "88.39")),
    _in_domain("ALIGN", "terra_incognita", ("83.62", "72.47", "77.27", "90.54")),
    _leave_one_out("ERM", "vlcs", "77.5", DOMAINBED, ("97.7", "64.3", "73.4", "74.6")),
    _leave_one_out("IRM", "vlcs", "78.5", DOMAINBED),
    _leave_one_out("GroupDRO", "vlcs", "76.7", DOMAINBED),
    _leave_one_out("Mixup", "vlcs", "77.4", DOMAINBED),
    _leave_one_out("CORAL", "vlcs", "78.8", DOMAINBED),
    _leave_one_out("DRE", "vlcs", "79.5", DRE_PAPER, ("98.3", "65.5", "73.8", "80.2")),
    _leave_one_out("ERM", "terra_incognita", "46.1", DOMAINBED, ("49.8", "42.1", "56.9", "35.7")),
    _leave_one_out("IRM", "terra_incognita", "47.6", DOMAINBED),
    _leave_one_out("GroupDRO", "terra_incognita", "43.2", DOMAINBED),
    _leave_one_out("Mixup", "terra_incognita", "47.9", DOMAINBED),
    _leave_one_out("CORAL", "terra_incognita", "47.6", DOMAINBED),
    _leave_one_out("DRE", "terra_incognita", "53.0", DRE_PAPER, ("64.1", "48.1", "57.1", "42.8")),
    _leave_one_out("ERM", "vlcs", "0.819", DRE_PAPER, metric="insertion_auc"),
    _leave_one_out("DRE", "vlcs", "0.840", DRE_PAPER, metric="insertion_auc"),
    _leave_one_out("ERM", "terra_incognita", "0.584", DRE_PAPER, metric="insertion_auc"),
    _leave_one_out("DRE", "terra_incognita", "0.644", DRE_PAPER, metric="insertion_auc"),
)


def published_results(dataset: str, protocol: str, metric: str, classes: int) -> list[Published]:
    """What may stand beside our table of this data set, protocol and metric; empty for another number of classes."""
    asked = (dataset, protocol, metric, classes)
    return [row for row in PUBLISHED if (row.dataset, row.protocol, row.metric, row.classes) == asked]
