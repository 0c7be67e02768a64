"""Every setting: its default, and the check before anything is compiled.

The settings of a method are in its file in `algorithms/`, and those of a masker of your own in its `MaskerEntry`; all
others are here. A config file (`configs/*.py`) starts from `default_config` and changes what it needs. (P) marks what
ALIGN's paper states, (D) a decision of this project where the paper says nothing.
"""

import os
from collections.abc import Iterator
from typing import Any

import ml_collections

from align_jax import explanations, saliency
from align_jax.algorithms import ALGORITHMS
from align_jax.data.augment import Augmentation
from align_jax.data.degraded_masks import QUALITIES
from align_jax.data.load import DATASETS, find_dataset
from align_jax.data.protocols import PROTOCOLS
from align_jax.errors import UserError, shown
from align_jax.evaluation.selection import SELECTIONS
from align_jax.fills import FILLS
from align_jax.guidance import GUIDANCES
from align_jax.models.masker import MASKERS, EncoderDecoder
from align_jax.models.pretrained import EMOJI
from align_jax.models.resnet import RESNETS
from align_jax.moved_settings import MOVED
from align_jax.optimizers import OPTIMIZERS, SCHEDULES
from align_jax.runtime.paths import refuse_url
from align_jax.settings import (
    BOOLEAN,
    FRACTION,
    PATH,
    POSITIVE_FRACTION,
    TEXT,
    TEXTS,
    WIDTHS,
    ZERO_OR_MORE,
    Rule,
    Setting,
    keyword_settings,
    names_of,
    number,
    one_of,
    rule,
    whole_number,
)

AT_LEAST_1 = whole_number(at_least=1)
# The fields that can name a file or a folder of this machine.
PATHS = ("data.root", "data.prepared", "data.group", "data.mask_folder", "classifier.pretrained")
# jax.random.key takes 32 bits.
SEED = whole_number(at_least=0, at_most=2**32 - 1)
BATCH_SIZE = whole_number(at_least=1, at_most=2**16)
# The updates of a round are compiled one after the other, into one program.
OF_A_ROUND = whole_number(at_least=1, at_most=100)
# 8,192 images of 224 pixels, 512 of 1024: their float32 values alone take 6 GiB.
MOST_PIXELS_OF_A_BATCH = 2**29
# Batches ahead are bytes, in the computer's memory and again on the device: each takes 48 GiB.
MOST_PIXELS_AHEAD = 2**34
# A learning rate of 1000 is far above what any optimizer here learns with.
RATE = number(1e-30, 1000.0)

SETTINGS: dict[str, Setting] = {
    "algorithm": Setting("align", one_of(ALGORITHMS)),
    # Methods to run as well. Each gets its own folder, and one page compares them all.
    "compare": Setting((), TEXTS),
    "seed": Setting(0, SEED),
    # Where masks come from, for methods that are guided by masks. "method" means the kind that the method was made for:
    # learned masks for ALIGN, true masks for rrr, gradia and haics. See guidance.py.
    "guidance": Setting("method", one_of(("method", *GUIDANCES))),
    "data.name": Setting("emoji_scenes", one_of(DATASETS)),
    # The user's images: their folder, the folder above it, or an archive. emoji_scenes needs none.
    "data.root": Setting("data", PATH),
    # Prepared data sets are kept here. Both paths are relative to where the command runs.
    "data.prepared": Setting("data", PATH),
    # domain_folders: the data set's folder below the root, with DOMAIN/CLASS/IMAGE in it.
    "data.folder": Setting("", TEXT),
    # Images in folders: the group (environment) of each image, such as its background. "" (none), "folder" (the folder
    # below the class's, DOMAIN/CLASS/GROUP/IMAGE), or the path of a CSV file, see data/given_groups.py.
    "data.group": Setting("", TEXT),
    "data.balanced_groups": Setting(False, BOOLEAN),  # draw each pair of class and group of a domain equally often
    # What to do about images that cannot be read, and the largest share of all images that may be skipped.
    "data.on_bad_image": Setting("error", one_of(("error", "skip"))),
    "data.most_skipped": Setting(0.01, FRACTION),
    # What to do about identical images of several domains, of which training on one sees the test on another: "drop"
    # leaves out all but those of the first domain.
    "data.on_duplicate": Setting("keep", one_of(("keep", "drop", "error"))),
    "data.image_size": Setting(64, whole_number(at_least=1, at_most=2048)),
    # "leave_one_out" (DomainBed), "single_source" or "in_domain" (P); see data/protocols.py.
    "data.protocol": Setting("leave_one_out", one_of(PROTOCOLS)),
    # The domain that leave_one_out holds out, or that the other protocols train on.
    "data.domain": Setting("fluent3d", TEXT),
    # Seed of the splits of data sets that have none of their own. config.seed does not change them.
    "data.split_seed": Setting(0, SEED),
    "data.stratified": Setting(False, BOOLEAN),  # split each class by itself
    # emoji_scenes: how often an image has its class's own background, which quarter of the concepts is for the test,
    # and whether there are five or all eight classes.
    "data.correlation": Setting(0.3, FRACTION),
    "data.fold": Setting(0, whole_number(at_least=0, at_most=999)),
    "data.class_set": Setting("five", TEXT),
    # For guidance = "folder": masks from elsewhere, as MASK_FOLDER/ID.png.
    "data.mask_folder": Setting("", TEXT),
    # For guidance = "true": the true masks as they are, or made worse on purpose; see data/degraded_masks.py.
    "data.mask_quality": Setting("true", one_of(QUALITIES)),
    "data.threads": Setting(2, whole_number(at_least=1, at_most=512)),
    "data.prefetch": Setting(2, whole_number(at_least=1, at_most=256)),  # batches
    # DomainBed's strengths; see data.augment.Augmentation.
    **keyword_settings(
        Augmentation,
        "data.augmentation.",
        smallest_crop=POSITIVE_FRACTION,  # 1e-9 too: a crop has at least one pixel
        jitter=FRACTION,
        hue=FRACTION,
        grey=FRACTION,
    ),
    "classifier.name": Setting("resnet50", one_of(RESNETS)),  # (D)
    # Initial weights: "" (random), a .safetensors file with torchvision's names, "hf:OWNER/NAME" on Hugging Face's hub,
    # or "emoji": a resnet_small that this project pretrained on emoji outside the benchmark's classes.
    "classifier.pretrained": Setting("", TEXT),
    "classifier.freeze_batch_norm": Setting(False, BOOLEAN),
    "classifier.dtype": Setting("float32", one_of(("float32", "bfloat16"))),  # the masker's too; see docs/memory.md
    "classifier.remat": Setting(False, BOOLEAN),  # less memory: the gradient computes each block a second time
    "masker.name": Setting(
        "encoder_decoder",  # (D)
        one_of(MASKERS, ", or one of your own, for which you first import the file that adds it to MASKERS"),
    ),
    "masker.widths": Setting(EncoderDecoder.widths, WIDTHS),  # encoder_decoder's (D)
    "optim.name": Setting("adam", one_of(OPTIMIZERS)),  # the classifier's
    "optim.lr": Setting(5e-5, RATE),
    "optim.weight_decay": Setting(0.0, ZERO_OR_MORE),
    "optim.schedule": Setting("constant", one_of(SCHEDULES)),
    "masker_optim.name": Setting("adam", one_of(OPTIMIZERS)),
    "masker_optim.lr": Setting(2e-3, RATE),  # (D)
    "masker_optim.weight_decay": Setting(0.0, ZERO_OR_MORE),
    "masker_optim.schedule": Setting("constant", one_of(SCHEDULES)),
    "schedule.batch_size": Setting(32, BATCH_SIZE),  # over all devices
    "schedule.accumulate": Setting(1, whole_number(at_least=1, at_most=1000)),  # micro-batches, see micro_batches.py
    "schedule.length": Setting(5000, AT_LEAST_1),
    "schedule.unit": Setting("steps", one_of(("steps", "epochs"))),
    "schedule.warmup": Setting(2000.0, ZERO_OR_MORE),
    "schedule.warmup_unit": Setting("steps", one_of(("steps", "epochs", "fraction"))),  # a fraction of the length
    "schedule.masker_steps": Setting(1, OF_A_ROUND),  # (D) updates a round
    "schedule.classifier_steps": Setting(1, OF_A_ROUND),  # (D)
    # Which checkpoint is reported: "training_domain_validation", "last", or "oracle" (best on the test: only a bound).
    "selection": Setting("training_domain_validation", one_of(SELECTIONS)),
    "evaluation.every": Setting(300, AT_LEAST_1),  # steps
    "evaluation.batch_size": Setting(64, BATCH_SIZE),
    "evaluation.gallery_images": Setting(12, whole_number(at_least=1, at_most=1000)),
    # Explanations: measured at the end of a run, on at most `images` of each plain test, and by launch/explain.py.
    # Tables show the first method; methods are named in saliency.METHODS, metrics in explanations.METRICS.
    "explain.methods": Setting(("grad_cam",), names_of(saliency.METHODS)),
    "explain.metrics": Setting(("comprehensiveness", "sufficiency", "insertion_auc"), names_of(explanations.METRICS)),
    "explain.fill": Setting("mean", one_of(FILLS)),  # what removed pixels become; insertion starts from a blur
    "explain.target": Setting("predicted", one_of(("predicted", "label"))),
    "explain.images": Setting(300, AT_LEAST_1),
    "explain.steps": Setting(20, whole_number(at_least=1, at_most=1000)),  # of deletion and insertion: RISE takes 224
    "checkpoint_every": Setting(300, AT_LEAST_1),  # steps; evaluations checkpoint too
    "log_every": Setting(20, AT_LEAST_1),  # steps
    "tensorboard": Setting(True, BOOLEAN),
}


def settings() -> dict[str, Setting]:
    """Every setting by its field: `SETTINGS`, and those of the methods in `ALGORITHMS` and the maskers in `MASKERS`."""
    groups = {name: algorithm.settings for name, algorithm in ALGORITHMS.items()}
    groups |= {f"masker.{name}": masker.settings for name, masker in MASKERS.items()}
    return SETTINGS | {f"{group}.{name}": setting for group, own in groups.items() for name, setting in own.items()}


def default_config() -> ml_collections.ConfigDict:
    """A config with the default of every field. It refuses values of other types."""
    config: dict[str, Any] = {}
    for field, setting in settings().items():
        *groups, name = field.split(".")
        group = config
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = setting.default
    return ml_collections.ConfigDict(config)


def with_home(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A copy in which `~` at the beginning of a path is the home folder."""
    copy = ml_collections.ConfigDict(config).copy_and_resolve_references()
    for field in PATHS:
        group_name, name = field.split(".")
        group = copy.get(group_name)
        if isinstance(group, ml_collections.ConfigDict) and isinstance(group.get(name), str):
            group[name] = os.path.expanduser(group[name])
    return copy


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses settings that cannot work, before anything is compiled or written.

    Settings that a config file added are not checked.

    Raises:
      UserError: one sentence with the field, its value, and what is valid.
    """
    for field, setting in settings().items():
        _require(config, field, setting.rule)
    for field in (*PATHS, "data.folder"):
        group, name = field.split(".")
        refuse_url(config[group][name], f"config.{field}={config[group][name]}")
    for old, new in MOVED.items():
        group, name = old.split(".")
        if name in config.get(group, {}):
            raise UserError(f"config.{old} is called config.{new} now; set that.")
    for method in config.compare:
        if method not in ALGORITHMS:
            raise UserError(f"config.compare names {shown(method)}; valid methods are {', '.join(ALGORITHMS)}.")
    for field, also in _rules_between_settings(config):
        _require(config, field, also)


def _rules_between_settings(config: ml_collections.ConfigDict) -> Iterator[tuple[str, Rule]]:
    """Rules for a field that depend on the values of other fields."""
    if config.classifier.pretrained == EMOJI:
        valid = f"resnet_small, because config.classifier.pretrained is {EMOJI!r} ('' begins from random weights)"
        yield "classifier.name", rule(str, "resnet_small".__eq__, valid)
    data_set = find_dataset(config.data.name)
    if data_set.domains:
        yield "data.domain", one_of(data_set.domains)
    if data_set.own_splits:
        yield "data.group", rule(str, lambda value: not value, f"'': {config.data.name} knows its groups by itself")
    if config.schedule.warmup_unit == "fraction":
        yield "schedule.warmup", rule(float, lambda value: value <= 1, "between 0 and 1, as a fraction of the length")
    takes_masks = any(ALGORITHMS[method].guided_terms for method in (config.algorithm, *config.compare))
    if config.guidance == "folder" and takes_masks:
        yield "data.mask_folder", rule(str, bool, "the folder of the masks, because config.guidance is 'folder'")
    size = config.data.image_size
    most = MOST_PIXELS_OF_A_BATCH // size**2
    for group in ("schedule", "evaluation"):
        valid = f"at most {most} at {size} x {size} pixels"
        yield f"{group}.batch_size", rule(int, lambda images: images <= most, valid)
    images = config.schedule.batch_size
    ahead = MOST_PIXELS_AHEAD // (images * size**2)
    valid = f"at most {ahead}, in batches of {images} images of {size} x {size} pixels"
    yield "data.prefetch", rule(int, lambda batches: batches <= ahead, valid)
    multiple = MASKERS[config.masker.name].side_multiple(config.masker)
    yield "data.image_size", rule(int, lambda size: size % multiple == 0, f"a multiple of {multiple} (the masker)")


def _require(config: ml_collections.ConfigDict, field: str, rule: Rule) -> None:
    value: Any = config
    for name in field.split("."):
        if name not in value:
            raise UserError(
                f"config.{field} is missing; begin with default_config(), after you have added your own methods and "
                "maskers to ALGORITHMS and MASKERS."
            )
        value = value[name]
    valid = rule.broken_by(value)
    if valid is not None:
        raise UserError(f"config.{field} is {shown(value)}; it must be {valid}.")


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
      domain: the domain that leave_one_out holds out, or that the other protocols train on.
      training_domains: how many domains leave_one_out trains on; the others train on one.

    Raises:
      UserError: no such protocol.
    """
    if protocol not in SCHEDULES_BY_PROTOCOL:
        raise UserError(
            f"The config file was given {protocol!r}, which is not a protocol; choose one of "
            f"{', '.join(SCHEDULES_BY_PROTOCOL)}, as in --config=configs/vlcs.py:leave_one_out."
        )
    config = default_config()
    config.data.protocol, config.data.domain = protocol, domain
    config.data.image_size = 224  # DomainBed
    config.data.threads, config.data.prefetch = 8, 4
    config.classifier.name = "resnet50"  # a ResNet (P), of 50 layers (D)
    # DomainBed's published results start from torchvision's first ImageNet weights; the paper does not say.
    config.classifier.pretrained = "hf:timm/resnet50.tv_in1k"
    config.classifier.freeze_batch_norm = True  # DomainBed
    config.optim.name, config.optim.lr, config.optim.weight_decay = "adam", 5e-5, 0.0  # DomainBed
    # The defaults of augmentation are DomainBed's.
    length, warmup, unit = SCHEDULES_BY_PROTOCOL[protocol]
    config.schedule.length, config.schedule.unit = length, unit
    config.schedule.warmup, config.schedule.warmup_unit = warmup, unit
    config.schedule.batch_size = 32 * (training_domains if protocol == "leave_one_out" else 1)  # 32 a domain: DomainBed
    config.selection = "training_domain_validation"  # DomainBed's first rule; the paper does not say
    config.evaluation.every = config.checkpoint_every = 300  # DomainBed
    return config
