"""Every setting, its default, and what is refused before anything is compiled.

A config file (`configs/*.py`) starts from `default_config` and changes what it needs. (P) marks what ALIGN's paper
states, (D) a decision of this project where it is silent.
"""

from collections.abc import Callable
from typing import Any

import ml_collections

from align_jax.errors import UserError


def default_config() -> ml_collections.ConfigDict:
    """The defaults of every field, typed: an override of another type is refused."""
    config = ml_collections.ConfigDict()
    config.algorithm = "align"
    # Methods to run beside it, one folder each, with one page above them all.
    config.compare = ()
    config.seed = 0
    # Where the masks come from that guide a method which takes any: "method" is what it was made for (ALIGN's are
    # learned, those of rrr, gradia and haics are true); see guidance.py.
    config.guidance = "method"  # "method" | "learned" | "true" | "folder" | "grey" | "none"

    config.data = data = ml_collections.ConfigDict()
    data.name = "emoji_scenes"
    # The images that you have: their folder, the folder above it, or an archive. emoji_scenes needs none.
    data.root = "data"
    # Prepared data sets are kept here. Both paths are relative to where the command runs.
    data.prepared = "data"
    # domain_folders: the data set's folder below the root, with DOMAIN/CLASS/IMAGE in it.
    data.folder = ""
    data.on_bad_image = "error"  # "error" | "skip", for images that cannot be read
    data.most_skipped = 0.01  # as a share of all images; more than that is refused
    data.image_size = 64
    # "leave_one_out" (DomainBed), "single_source" or "in_domain" (P); see data/protocols.py.
    data.protocol = "leave_one_out"
    # The one that the protocol singles out: held out by leave_one_out, trained on by the others.
    data.domain = "fluent3d"
    # Of the index splits of data sets without splits of their own; the same for every config.seed.
    data.split_seed = 0
    data.stratified = False  # split each class by itself
    # emoji_scenes: how often an image has its class's own panorama, which quarter of the concepts is the test set,
    # and five or all eight classes.
    data.correlation = 0.3
    data.fold = 0
    data.class_set = "five"
    # Of guidance = "folder": masks made elsewhere, as MASK_FOLDER/ID.png.
    data.mask_folder = ""
    # Of guidance = "true": the true masks as they are, or made worse on purpose; see data/mask_quality.py.
    data.mask_quality = "true"
    data.threads = 2
    data.prefetch = 2

    # DomainBed's strengths; see data.augment.Augmentation.
    data.augmentation = ml_collections.ConfigDict()
    data.augmentation.smallest_crop = 0.7
    data.augmentation.jitter = 0.3
    data.augmentation.hue = 0.3
    data.augmentation.grey = 0.1

    config.classifier = classifier = ml_collections.ConfigDict()
    classifier.name = "resnet50"  # (D)
    # Weights to begin with: "", a .safetensors file with torchvision's names, "hf:OWNER/NAME" on Hugging Face's hub, or
    # "emoji": a resnet_small that this project pretrained on emoji outside the benchmark's classes.
    classifier.pretrained = ""
    classifier.freeze_batch_norm = False
    classifier.dtype = "float32"  # what both networks compute in; parameters, losses and maps are float32

    config.masker = masker = ml_collections.ConfigDict()
    masker.name = "encoder_decoder"  # (D)
    masker.widths = (16, 32, 64)

    config.optim = optim = ml_collections.ConfigDict()  # the classifier's
    optim.name = "adam"
    optim.lr = 5e-5
    optim.weight_decay = 0.0
    optim.schedule = "constant"

    config.masker_optim = masker_optim = ml_collections.ConfigDict()
    masker_optim.name = "adam"
    masker_optim.lr = 2e-3  # (D)
    masker_optim.weight_decay = 0.0
    masker_optim.schedule = "constant"

    config.align = align = ml_collections.ConfigDict()
    align.classifier = ml_collections.ConfigDict()
    align.classifier.guidance = 1.0  # l3 (D)
    align.classifier.regularisation = 1.0  # l4 (D)
    align.classifier.consistency = 1.0
    align.classifier.sparsity = 0.5
    align.classifier.mixed_cls = 0.1
    # Weight of the cross-entropy on M(x) x + (1 - M(x)) x': a swapped background. Beyond the paper, which has none.
    align.classifier.swapped_cls = 0.0
    align.classifier.resolution = "cam"  # (D) "cam" | "image"
    align.classifier.as_published = False  # (D) DRE's code: means within each class, its own sparsity
    align.masker = ml_collections.ConfigDict()
    align.masker.sparsity = 1.5  # l1 (D)
    align.masker.smoothness = 0.3  # l2 (D)
    align.alpha = "differentiated"  # (D) "differentiated" | "constant"
    align.normalise = "minmax"  # (D) "minmax" | "max"
    # What Grad-CAM explains in training: the label's logit (P) or, beyond the paper, its log-probability.
    align.explained = "logit"  # "logit" | "log_probability"
    # Steps after warm-up over which the guided terms' weights grow from 0, so that the masks come before the guidance
    # by them. Beyond the paper, which has none; methods without warm-up do not read it.
    align.ramp = 0
    align.mixing_concentration = 0.2
    align.fill = "mean"  # (D) what stands where a mask removed something: "mean" | "image_mean" | "blur" | "black"

    # The other methods; their weights are their authors' or DomainBed's.
    config.sgt = ml_collections.ConfigDict({"weight": 1.0, "fraction": 0.5, "replacement": "noise"})  # "noise" | "mean"
    config.irm = ml_collections.ConfigDict({"weight": 100.0, "switch_step": 500})  # 1 before the switch
    config.vrex = ml_collections.ConfigDict({"weight": 10.0, "switch_step": 500})  # 1 before the switch
    config.group_dro = ml_collections.ConfigDict({"step_size": 0.01})
    config.mixup = ml_collections.ConfigDict({"concentration": 0.2})
    config.coral = ml_collections.ConfigDict({"weight": 1.0})
    config.rrr = ml_collections.ConfigDict({"weight": 10.0})
    config.gradia = ml_collections.ConfigDict({"weight": 1.0})
    config.haics = ml_collections.ConfigDict({"weight": 1.0})

    config.schedule = schedule = ml_collections.ConfigDict()
    schedule.batch_size = 32  # over all devices
    schedule.length = 5000
    schedule.unit = "steps"  # "steps" | "epochs"
    schedule.warmup = 2000.0
    schedule.warmup_unit = "steps"  # "steps" | "epochs" | "fraction" of the length
    schedule.masker_steps = 1  # (D) updates a round
    schedule.classifier_steps = 1  # (D)

    # Which checkpoint is reported: "training_domain_validation", "last", or "oracle" (best on the test: only a bound).
    config.selection = "training_domain_validation"

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.every = 300  # steps
    evaluation.batch_size = 64
    evaluation.explained_class = "predicted"  # "predicted" | "label"
    # What stands where comprehensiveness and sufficiency remove pixels: "mean" | "image_mean" | "blur" | "black".
    evaluation.fill = "mean"
    evaluation.faithfulness_images = 300  # at most, a domain; at the end of the run only
    evaluation.insertion_steps = 20
    evaluation.gallery_images = 12

    config.checkpoint_every = 300  # steps; evaluations checkpoint too
    config.log_every = 20  # steps
    config.tensorboard = True
    return config


# The length and warm-up of each protocol, as (length, warm-up, unit).
SCHEDULES_BY_PROTOCOL = {
    "in_domain": (300, 200.0, "epochs"),  # 200 (P), 300 (D)
    "single_source": (300, 200.0, "epochs"),  # 200 (P), 300 (D)
    "leave_one_out": (5000, 2000.0, "steps"),  # DomainBed's 5000, 2000 (D)
}


def benchmark_config(protocol: str, domain: str, training_domains: int) -> ml_collections.ConfigDict:
    """The settings of the published benchmarks: the paper's where known, DomainBed's where not.

    Args:
      protocol: "in_domain", "single_source" or "leave_one_out".
      domain: the domain that the protocol singles out.
      training_domains: how many leave_one_out trains on; the others train on one.

    Raises:
      UserError: no such protocol.
    """
    if protocol not in SCHEDULES_BY_PROTOCOL:
        raise UserError(
            f"The config file was given {protocol!r}, which is no protocol; choose one of "
            f"{', '.join(SCHEDULES_BY_PROTOCOL)}, as in --config=configs/vlcs.py:leave_one_out."
        )
    config = default_config()
    config.data.protocol, config.data.domain = protocol, domain
    config.data.image_size = 224  # DomainBed
    config.data.threads, config.data.prefetch = 8, 4
    config.classifier.name = "resnet50"  # a ResNet (P), of 50 layers (D)
    # DomainBed's published numbers began with torchvision's first ImageNet weights; the paper does not say.
    config.classifier.pretrained = "hf:timm/resnet50.tv_in1k"
    config.classifier.freeze_batch_norm = True  # DomainBed
    config.optim.name, config.optim.lr, config.optim.weight_decay = "adam", 5e-5, 0.0  # DomainBed
    # Augmentation: the defaults are DomainBed's.
    length, warmup, unit = SCHEDULES_BY_PROTOCOL[protocol]
    config.schedule.length, config.schedule.unit = length, unit
    config.schedule.warmup, config.schedule.warmup_unit = warmup, unit
    config.schedule.batch_size = 32 * (training_domains if protocol == "leave_one_out" else 1)  # 32 a domain: DomainBed
    config.selection = "training_domain_validation"  # DomainBed's first rule; the paper does not say
    config.evaluation.every = config.checkpoint_every = 300  # DomainBed
    return config


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses values that could not work, before anything is compiled or written.

    Raises:
      UserError: one sentence with the field, its value, and what is valid.
    """
    # Imported here: naming the valid choices needs the modules that have them, and a config file needs none of those.
    from align_jax.algorithms import ALGORITHMS
    from align_jax.algorithms.align import ALIGNMENTS
    from align_jax.data.degraded_masks import QUALITIES
    from align_jax.data.load import DATASETS, DOMAINS
    from align_jax.data.protocols import PROTOCOLS
    from align_jax.evaluation.selection import SELECTIONS
    from align_jax.fills import FILLS
    from align_jax.guidance import GUIDANCES
    from align_jax.models.masker import MASKERS
    from align_jax.models.pretrained import EMOJI
    from align_jax.models.resnet import RESNETS
    from align_jax.optimizers import OPTIMIZERS, SCHEDULES
    from align_jax.saliency import NORMALISATIONS

    choices: dict[str, Any] = {
        "algorithm": ALGORITHMS,
        "guidance": ("method", *GUIDANCES),
        "sgt.replacement": ("noise", "mean"),
        "data.name": DATASETS,
        "data.on_bad_image": ("error", "skip"),
        "data.protocol": PROTOCOLS,
        "data.mask_quality": tuple(QUALITIES),
        "selection": SELECTIONS,
        "classifier.name": RESNETS,
        "classifier.dtype": ("float32", "bfloat16"),
        "masker.name": MASKERS,
        "optim.name": OPTIMIZERS,
        "optim.schedule": SCHEDULES,
        "masker_optim.name": OPTIMIZERS,
        "masker_optim.schedule": SCHEDULES,
        "align.classifier.resolution": ALIGNMENTS,
        "align.alpha": ("differentiated", "constant"),
        "align.normalise": NORMALISATIONS,
        "align.explained": ("logit", "log_probability"),
        "align.fill": FILLS,
        "schedule.unit": ("steps", "epochs"),
        "schedule.warmup_unit": ("steps", "epochs", "fraction"),
        "evaluation.explained_class": ("predicted", "label"),
        "evaluation.fill": FILLS,
    }
    for field, valid in choices.items():
        _require(config, field, valid.__contains__, f"one of {', '.join(map(str, valid))}")
    if config.classifier.pretrained == EMOJI:
        valid = f"resnet_small, whose weights config.classifier.pretrained = {EMOJI!r} are ('' begins from scratch)"
        _require(config, "classifier.name", "resnet_small".__eq__, valid)
    if config.data.name in DOMAINS:
        domains = DOMAINS[config.data.name]
        _require(config, "data.domain", domains.__contains__, f"one of {', '.join(domains)}")
    for method in config.compare:
        if method not in ALGORITHMS:
            raise UserError(f"config.compare names {method!r}; valid methods are {', '.join(ALGORITHMS)}.")
    for field in (
        "data.image_size",
        "data.threads",
        "data.prefetch",
        "schedule.batch_size",
        "schedule.length",
        "schedule.masker_steps",
        "schedule.classifier_steps",
        "evaluation.every",
        "evaluation.batch_size",
        "evaluation.faithfulness_images",
        "evaluation.insertion_steps",
        "evaluation.gallery_images",
        "checkpoint_every",
        "log_every",
    ):
        _require(config, field, lambda value: value >= 1, "at least 1")
    for field in ("optim.lr", "masker_optim.lr", "align.mixing_concentration", "mixup.concentration"):
        _require(config, field, lambda value: 0 < value < float("inf"), "a positive number")
    for field in (
        "optim.weight_decay",
        "masker_optim.weight_decay",
        "schedule.warmup",
        *(
            f"align.classifier.{name}"
            for name in ("guidance", "regularisation", "consistency", "sparsity", "mixed_cls", "swapped_cls")
        ),
        *(f"align.masker.{name}" for name in ("sparsity", "smoothness")),
        *(f"{method}.weight" for method in ("sgt", "irm", "vrex", "coral", "rrr", "gradia", "haics")),
        *(f"{method}.switch_step" for method in ("irm", "vrex")),
        "group_dro.step_size",
        "align.ramp",
    ):
        _require(config, field, lambda value: 0 <= value < float("inf"), "zero or more")
    if config.schedule.warmup_unit == "fraction":
        _require(config, "schedule.warmup", lambda value: value <= 1, "between 0 and 1, as a fraction of the length")
    _require(config, "sgt.fraction", lambda value: 0 <= value <= 1, "between 0 and 1")
    takes_masks = any(ALGORITHMS[method].guided_terms for method in (config.algorithm, *config.compare))
    if config.guidance == "folder" and takes_masks:
        _require(config, "data.mask_folder", bool, "the folder of the masks, where config.guidance is 'folder'")
    _require(config, "data.augmentation.smallest_crop", lambda value: 0 < value <= 1, "above 0 and at most 1")
    for field in ("jitter", "hue", "grey"):
        _require(config, f"data.augmentation.{field}", lambda value: 0 <= value <= 1, "between 0 and 1")
    _require(config, "data.most_skipped", lambda value: 0 <= value <= 1, "between 0 and 1")
    _require(config, "data.split_seed", lambda value: value >= 0, "zero or more")
    # jax.random.key takes 32 bits of it.
    _require(config, "seed", lambda value: 0 <= value < 2**32, "between 0 and 2**32 - 1")
    whole = "one or more positive whole numbers, such as (16, 32, 64)"
    _require(config, "masker.widths", lambda widths: widths and all(type(w) is int and w > 0 for w in widths), whole)
    # A config may come with a run from someone else.
    _require(config, "data.image_size", lambda value: value <= 4096, "at most 4096")
    multiple = 2 ** len(config.masker.widths)
    _require(config, "data.image_size", lambda value: value % multiple == 0, f"a multiple of {multiple} (the masker)")


def _require(config: ml_collections.ConfigDict, field: str, holds: Callable[[Any], bool], valid: str) -> None:
    value: Any = config
    for name in field.split("."):
        value = value[name]
    if not holds(value):
        raise UserError(f"config.{field} is {value!r}; it must be {valid}.")
