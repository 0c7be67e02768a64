"""What a run says before its first step, and what it refuses to start with."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from align_jax.data.domains import DomainData
from align_jax.errors import UserError
from align_jax.training.method import guidance_of


def check_start(config: ml_collections.ConfigDict, data: DomainData, devices: int) -> None:
    """Refuses batches that cannot be shared out evenly, masks that are not there, and several processes.

    Raises:
      UserError: the number of devices does not divide a batch, or the number of domains the training batch; true masks
        are to guide and the data set has none; there is more than one process.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"This run has {jax.process_count()} processes, which would all write to one folder; start one process "
            "(it uses every device of its host)."
        )
    for field, size in (
        ("schedule.batch_size", config.schedule.batch_size),
        ("evaluation.batch_size", config.evaluation.batch_size),
    ):
        if size % devices:
            raise UserError(f"config.{field} is {size}, which {devices} devices cannot share evenly; give a multiple.")
    if config.schedule.batch_size % len(data.train):
        raise UserError(
            f"config.schedule.batch_size is {config.schedule.batch_size}, which the {len(data.train)} training domains "
            f"({', '.join(data.train)}) cannot share evenly; give a multiple of {len(data.train)}."
        )
    if guidance_of(config) == "true" and not data.has_masks:
        raise UserError(
            f"{config.algorithm} is to be guided by true masks, but {data.name} has none; set config.guidance to "
            "'learned', 'folder', 'grey' or 'none', or choose another data set."
        )


def describe(
    config: ml_collections.ConfigDict,
    data: DomainData,
    devices: np.ndarray,
    *,
    steps: int,
    warmup: int,
    steps_per_epoch: int,
    parameters: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    """Devices, batch, length, domains and a table of parameters, line by line."""
    batch = config.schedule.batch_size
    kind = devices.flat[0].device_kind
    say(f"devices     {devices.size} x {kind} ({jax.default_backend()})")
    say(f"batch       {batch} over all devices, {batch // devices.size} a device, {batch // len(data.train)} a domain")
    say(f"length      {steps} steps = {steps / steps_per_epoch:.1f} epochs, {warmup} of them warm-up")
    say(
        f"data        {data.name}, {config.data.protocol}: {sum(map(len, data.train.values()))} training images of "
        f"{', '.join(data.train)}; "
        f"held out: {', '.join(split.domain for split in data.evaluation if split.role == 'ood') or 'none'}"
    )
    if config.classifier.freeze_batch_norm and not config.classifier.pretrained:
        say(
            "WARNING config.classifier.freeze_batch_norm freezes the statistics of an untrained network; give "
            "config.classifier.pretrained, or set it to False."
        )
    oracle = " (an ORACLE: it looks at the test)" if config.selection == "oracle" else ""
    say(f"selection   {config.selection}{oracle}")
    say(f"guidance    {guidance_of(config)}, algorithm {config.algorithm}")
    for network, tree in parameters.items():
        rows = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in tree.items()}
        say(f"{network:<12}{sum(rows.values()):>12,} parameters")
        for name, size in rows.items():
            say(f"  {name:<24}{size:>12,}")
