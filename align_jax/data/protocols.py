"""The protocols of the literature: which domains are for training, for choosing the checkpoint, and for the test.

| protocol | trained on | validation | test |
|---|---|---|---|
| `in_domain` (ALIGN's main table) | 64 % of one domain | 16 % of it | 20 % of it, role "id" |
| `single_source` (ALIGN's second table) | 80 % of one domain | 20 % of it | each other domain whole, role "ood" |
| `leave_one_out` (DomainBed) | 80 % of every domain but one | 20 % of each | the one left out, whole, role "ood" |

A data set with splits of its own (emoji_scenes) keeps them. The protocol then only gives each domain its role.
"""

from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from align_jax.data.domains import DomainData, EvaluationSplit, Part, Source, column
from align_jax.data.splits import seeded_split, stratified_split, together
from align_jax.errors import UserError

PROTOCOLS = ("leave_one_out", "single_source", "in_domain")

# Shares of a domain's parts except the last, which is the rest.
IN_DOMAIN = (0.64, 0.16)  # training, validation; 20 % test
OTHERWISE = (0.8,)  # training; 20 % validation


def training_and_unseen(names: Sequence[str], protocol: str, domain: str) -> tuple[list[str], list[str]]:
    """The training domains, and those that training never sees, both in the data set's order.

    Args:
      names: all domains.
      protocol: one of `PROTOCOLS`.
      domain: the domain that leave_one_out holds out, or that the other protocols train on.

    Raises:
      UserError: there is no such domain, or no other one, which the protocol needs.
    """
    if domain not in names:
        raise UserError(f"config.data.domain is {domain!r}; the domains are {', '.join(names)}.")
    others = [name for name in names if name != domain]
    if protocol == "in_domain":
        return [domain], []
    if not others:
        raise UserError(
            f"config.data.protocol is {protocol!r}, which needs two domains or more, but there is only {domain!r}; "
            "choose 'in_domain'."
        )
    return (others, [domain]) if protocol == "leave_one_out" else ([domain], others)


def split_by_protocol(
    config: ml_collections.ConfigDict,
    name: str,
    class_names: Sequence[str],
    sources: Mapping[str, Source],
    *,
    has_masks: bool = False,
    duplicates: Mapping[str, Sequence[Sequence[int]]] | None = None,
) -> DomainData:
    """Splits a data set that has no splits of its own.

    A domain's split depends on its place in the data set, the protocol's shares and `split_seed`. Runs that differ in
    method, in `config.seed` or in the domain held out share it, and can be compared image by image.

    Args:
      config: a config's `data`; `protocol`, `domain`, `split_seed` and `stratified` (split each class alone) are read.
      name: the data set's.
      class_names: in the order of the labels.
      sources: every domain, in the data set's order.
      has_masks: whether examples have true masks.
      duplicates: the groups of identical images, or of images of one object, of each domain that has any, as indices.
        A group stays in one part. Similar images, such as the frames of one burst in Terra Incognita, are not found:
        they may make in-domain results of camera traps too good.

    Raises:
      UserError: as for `training_and_unseen`; or a domain has too few images to be split.
    """
    training, unseen = training_and_unseen(list(sources), config.protocol, config.domain)
    shares = IN_DOMAIN if config.protocol == "in_domain" else OTHERWISE
    train: dict[str, Source] = {}
    evaluation: list[EvaluationSplit] = []
    for number, (place, source) in enumerate(sources.items()):
        if place not in training:
            continue
        # Sums would repeat: the second domain at seed 1 would be split as the first one at seed 2.
        domain_seed = int(np.random.SeedSequence([config.split_seed, number]).generate_state(1)[0])
        if config.stratified:
            parts = stratified_split(np.array(column(source, "label"), np.int64), shares, domain_seed)
        else:
            parts = seeded_split(len(source), shares, domain_seed)
        parts = together(parts, (duplicates or {}).get(place, ()))
        if not all(len(part) for part in parts):
            raise UserError(
                f"The domain {place!r} of {name} has {len(source)} images, too few for {config.protocol}'s "
                f"{len(parts)} parts; add images, or leave the domain out."
            )
        train[place] = Part(source, parts[0])
        evaluation.append(EvaluationSplit(place, "validation", "validation", Part(source, parts[1])))
        if config.protocol == "in_domain":
            evaluation.append(EvaluationSplit(place, "test", "id", Part(source, parts[2])))
    evaluation += [EvaluationSplit(place, "test", "ood", sources[place]) for place in unseen]
    return DomainData(name, tuple(class_names), train, evaluation, has_masks)
