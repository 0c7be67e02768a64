"""Who is trained on, what selects the checkpoint, and what is tested: the protocols of the literature.

| protocol | trained on | validation | test |
|---|---|---|---|
| `in_domain` (ALIGN's main table) | 64 % of one domain | 16 % of it | 20 % of it, role "id" |
| `single_source` (ALIGN's second table) | 80 % of one domain | 20 % of it | each other domain whole, role "ood" |
| `leave_one_out` (DomainBed) | 80 % of every domain but one | 20 % of each | the one left out, whole, role "ood" |

A data set with splits of its own (emoji_scenes) keeps them; the protocol then says only which domains play which role.
"""

from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from align_jax.data.domains import DomainData, EvaluationSplit, Part, Source, column
from align_jax.data.splits import seeded_split, stratified_split, together
from align_jax.errors import UserError

PROTOCOLS = ("leave_one_out", "single_source", "in_domain")

# Shares of a domain; what is left is the last part.
IN_DOMAIN = (0.64, 0.16)  # train, validation; 20 % test
OTHERWISE = (0.8,)  # train; 20 % validation


def training_and_unseen(names: Sequence[str], protocol: str, domain: str) -> tuple[list[str], list[str]]:
    """The domains that are trained on and those that training never sees, both in the data set's order.

    Args:
      names: all domains.
      protocol: one of `PROTOCOLS`.
      domain: the one that the protocol singles out: held out by leave_one_out, trained on by the others.

    Raises:
      UserError: no domain of that name, or nothing left to train or to test on.
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
    """A data set without splits of its own, split by protocol.

    A domain's split depends on its place in the data set, the protocol's shares and the seed: runs that differ in
    method, in `config.seed` or in the domain held out share it, and can be compared image by image.

    Args:
      config: a config's `data`, which has `protocol`, `domain`, `split_seed` and `stratified`, whether each class is
        split by itself.
      name: the data set's.
      class_names: in the order of the labels.
      sources: every domain, in the data set's order.
      has_masks: whether examples carry true masks.
      duplicates: for each domain that has any, the groups of indices of identical images: a split keeps each in one
        part. (Near duplicates, such as the frames of one burst in Terra Incognita, are not found: in-domain numbers of
        camera traps are to be read with that in mind.)

    Raises:
      UserError: as `training_and_unseen`, or a domain with too few images to be split.
    """
    training, unseen = training_and_unseen(list(sources), config.protocol, config.domain)
    shares = IN_DOMAIN if config.protocol == "in_domain" else OTHERWISE
    train: dict[str, Source] = {}
    evaluation: list[EvaluationSplit] = []
    for number, (place, source) in enumerate(sources.items()):
        if place not in training:
            continue
        # Spawned, not added up: seed 1's second domain must not be split as seed 2's first one.
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
