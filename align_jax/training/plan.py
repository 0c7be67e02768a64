"""What a config asks for, before any data are known. Nothing is read, written or compiled here."""

import dataclasses
from typing import NamedTuple

import ml_collections

from align_jax.algorithms import ALGORITHMS, Algorithm
from align_jax.configuration import check
from align_jax.data.load import find_dataset
from align_jax.data.protocols import training_and_unseen
from align_jax.errors import UserError
from align_jax.objectives import Objective
from align_jax.settings import MOST


class Length(NamedTuple):
    """The length of a run and of its warm-up, in steps (classifier updates)."""

    steps: int
    warmup: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """A valid config, and what follows from it.

    Attributes:
      config: the run's.
      algorithm: the method that `config.algorithm` names.
      guidance: where the masks come from (`guidance.GUIDANCES`); "none" for a method that takes no masks.
      objective: L_clf, the guided terms included.
    """

    config: ml_collections.ConfigDict
    algorithm: Algorithm
    guidance: str
    objective: Objective

    @property
    def warms_up(self) -> bool:
        """Whether the run begins with the objective of warm-up, as long as `config.schedule.warmup` says."""
        return self.algorithm.warms_up and (self.guidance != "none" or self.redraws)

    @property
    def redraws(self) -> bool:
        """Whether images are drawn more often after warm-up if the classifier then gets them wrong."""
        return self.algorithm.mistakes(self.config) > 1

    @property
    def reads_groups(self) -> bool:
        """Whether training is told the groups of its examples."""
        by_objective = any(map(self.objective.asks_for, ("class_group", "group_membership")))
        return by_objective or self.config.data.balanced_groups

    @property
    def guidance_title(self) -> str:
        """The guidance as the results name it: degraded masks must not be taken for true ones."""
        quality = self.config.data.mask_quality
        return f"{quality} masks" if self.guidance == "true" and quality != "true" else self.guidance

    def length(self, steps_per_epoch: int) -> Length:
        """The run's length; see `durations`.

        Raises:
          UserError: as `durations`; or mistakes would never be looked for, or masks never guide.
        """
        length = durations(self.config.schedule, steps_per_epoch, self.warms_up)
        if self.redraws and not 0 < length.warmup < length.steps:
            raise UserError(
                f"{self.config.algorithm} draws the classifier's mistakes at the end of warm-up more often, but the "
                f"warm-up has {length.warmup} of {length.steps} steps; change config.schedule.warmup, or set the "
                "method's `mistakes` to 1."
            )
        delay = self.config.align.delay
        if delay and self.warms_up and length.warmup + delay >= length.steps:
            raise UserError(
                f"config.align.delay is {delay}, which leaves none of the {length.steps - length.warmup} steps after "
                "warm-up to masks; shorten it."
            )
        return length


def plan(config: ml_collections.ConfigDict) -> Plan:
    """What a config asks for.

    Raises:
      UserError: a value that cannot work with any data.
    """
    check(config)
    algorithm = ALGORITHMS[config.algorithm]
    planned = Plan(config, algorithm, guidance_of(config), algorithm.classifier_objective(config))
    _check_something_is_learned(planned)
    check_micro_batches(config)
    if "epochs" not in (config.schedule.unit, config.schedule.warmup_unit):
        planned.length(steps_per_epoch=1)
    data_set = find_dataset(config.data.name)
    if data_set.check is not None:
        data_set.check(config.data)
    if data_set.domains:
        training, _ = training_and_unseen(data_set.domains, config.data.protocol, config.data.domain)
        check_batch(config, training)
        check_micro_batches(config, len(training))
    return planned


def _check_something_is_learned(planned: Plan) -> None:
    """Raises a UserError if masks guide, and no term with a weight teaches the classes."""
    weights = {name: weight for name, (_, weight) in planned.objective.terms.items()}
    cross_entropies = [weights[name] for name in ("cls", "swapped_cls") if name in weights]
    if planned.guidance != "none" and len(cross_entropies) == 2 and not any(cross_entropies):
        raise UserError(
            f"classifier.cls and classifier.swapped_cls of config.{planned.config.algorithm} are both 0, so that "
            "nothing would teach the classes; raise one of them."
        )


def guidance_of(config: ml_collections.ConfigDict) -> str:
    """Where the masks come from: `config.guidance`, or the method's own; "none" for a method that takes no masks."""
    algorithm = ALGORITHMS[config.algorithm]
    if not algorithm.guided_terms:
        return "none"
    return algorithm.guidance if config.guidance == "method" else config.guidance


def durations(schedule: ml_collections.ConfigDict, steps_per_epoch: int, warms_up: bool = True) -> Length:
    """The length of a run and of its warm-up, which is 0 unless the run warms up.

    Raises:
      UserError: the run is too long, the warm-up is longer than it, or the rest is not a whole number of rounds.
    """
    steps = schedule.length * (steps_per_epoch if schedule.unit == "epochs" else 1)
    if steps > MOST:
        raise UserError(
            f"config.schedule.length is {schedule.length} epochs, which are {steps} steps; a run has at most {MOST}."
        )
    warmup_unit = {"steps": 1, "epochs": steps_per_epoch, "fraction": steps}[schedule.warmup_unit]
    warmup = round(schedule.warmup * warmup_unit) if warms_up else 0
    if warmup > steps:
        raise UserError(
            f"config.schedule.warmup is {schedule.warmup:g} {schedule.warmup_unit}, {warmup} steps, but the whole run "
            f"has {steps}; shorten the warm-up or lengthen config.schedule.length."
        )
    if (steps - warmup) % schedule.classifier_steps:
        raise UserError(
            f"config.schedule.classifier_steps is {schedule.classifier_steps}, which does not divide the "
            f"{steps - warmup} steps after warm-up; change it, or config.schedule.length."
        )
    return Length(steps, warmup)


def check_batch(config: ml_collections.ConfigDict, training_domains: list[str]) -> None:
    """Raises a UserError if the training domains cannot share a batch evenly."""
    size, domains = config.schedule.batch_size, len(training_domains)
    if size % domains:
        raise UserError(
            f"config.schedule.batch_size is {size}, which the {domains} training domains "
            f"({', '.join(training_domains)}) cannot share evenly; give a multiple of {domains}."
        )


def check_micro_batches(config: ml_collections.ConfigDict, domains: int = 1, devices: int = 1) -> None:
    """Raises a UserError if micro-batches cannot have equally many examples of each domain on each device."""
    size, count = config.schedule.batch_size, config.schedule.accumulate
    multiple = count * domains * devices
    if count > 1 and size % multiple:
        raise UserError(
            f"config.schedule.accumulate is {count}, but {size} images cannot be cut into {count} micro-batches with "
            f"equally many of each training domain ({domains}) on each device ({devices}); give another number, or set "
            f"config.schedule.batch_size to a multiple of {multiple}."
        )
