"""Opens a run: its data, its networks, and its folder."""

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import grain
import jax
import ml_collections

from align_jax.data.augment import Augmentation, Example
from align_jax.data.degraded_masks import with_quality
from align_jax.data.domains import DomainData, Source, describe_data
from align_jax.data.groups import ClassGroups, class_groups
from align_jax.data.load import load
from align_jax.data.mask_folder import with_masks
from align_jax.data.pipeline import TrainingBatches, training_examples
from align_jax.data.redraw import redrawn, unpacked
from align_jax.errors import UserError
from align_jax.evaluation.evaluator import Evaluator
from align_jax.evaluation.explained_methods import check_metrics
from align_jax.evaluation.selection import Selected
from align_jax.guidance import reads_masks
from align_jax.runs.checkpoints import Checkpoints
from align_jax.runs.environment import add_start, this_command
from align_jax.runs.folder import check_or_write_data, check_run_folder, write_config
from align_jax.runs.read_checkpoint import Position, saved_steps
from align_jax.runs.recovery import recover
from align_jax.runtime.agreed_stop import AgreedStop
from align_jax.runtime.interruption import StopRequest
from align_jax.runtime.locks import lock
from align_jax.runtime.processes import (
    check_alike,
    check_shared,
    from_writer,
    is_writer,
    writer_first,
)
from align_jax.runtime.sharding import data_mesh, replicated_key
from align_jax.states import States
from align_jax.training.clock import Clock
from align_jax.training.diagnostics import CollapseWarning
from align_jax.training.initial_states import initial_states, with_pretrained
from align_jax.training.method import Method, build_method
from align_jax.training.metrics_log import MetricsWriter, NoMetrics
from align_jax.training.plan import Length, Plan, check_batch, check_micro_batches
from align_jax.training.profile import Profile
from align_jax.training.progress import Progress

# Beside the run's seed, for batches in which mistakes are drawn more often.
REDRAWN = 1


class Reached(NamedTuple):
    """How far a run has come.

    Attributes:
      step: classifier updates so far.
      states: of both networks.
      selected: the evaluation selected so far, or None.
      unlogged: the metrics since the last line of the log, see `Position`.
    """

    step: int
    states: States
    selected: Selected | None
    unlogged: Mapping[str, tuple[float, float]] = MappingProxyType({})


class Start(NamedTuple):
    """What belongs to one start of a run, and not to the run.

    Attributes:
      request: to stop; see `runtime.interruption.stop_request`.
      clock: of this start; it goes on from the checkpoint's seconds.
      stack: closes what is opened.
      profiled_steps: how many updates to trace, see `Profile`.
      prepare_on_each_host: see `train_and_evaluate`.
    """

    request: StopRequest
    clock: Clock
    stack: ExitStack
    profiled_steps: int = 0
    prepare_on_each_host: bool = False


@dataclasses.dataclass(frozen=True)
class OpenRun:
    """An open run: what stays the same while it trains, and what it reads from and writes to.

    Attributes:
      plan: what its config asks for.
      folder: its folder.
      stop: whether it was asked to stop.
      data: its data set.
      pretrained: source and hash of the weights that it began with, or None.
      length: its length in steps.
      method: networks, objectives and optimisers.
      mesh: the devices.
      key: the root of its randomness.
      checkpoints, log, batches: what it saves, logs and trains on.
      evaluator: the compiled evaluation.
      clock, progress, collapse: its time, what it shows, and the warning about its masks.
      profile: the trace of some of its updates.
    """

    plan: Plan
    folder: Path
    stop: AgreedStop
    data: DomainData
    pretrained: Mapping[str, str] | None
    length: Length
    method: Method
    mesh: jax.sharding.Mesh
    key: jax.Array
    checkpoints: Checkpoints
    log: MetricsWriter | NoMetrics
    batches: TrainingBatches
    evaluator: Evaluator
    clock: Clock
    progress: Progress
    collapse: CollapseWarning
    profile: Profile

    def last_good_checkpoint(self, diverged_at: int) -> str:
        """The checkpoint to go back to after training diverged at a step, in the words of the error message."""
        # A checkpoint of that very step is no good: the updates that led to it are what went wrong.
        steps = [step for step in self.checkpoints.steps() if step < diverged_at]
        return f"step {steps[-1]} in {self.folder / 'checkpoints'}" if steps else "none, as nothing was saved before it"


def open_run(plan: Plan, folder: Path, start: Start) -> tuple[OpenRun, Reached]:
    """Opens a run's folder, or makes it, and restores the newest usable checkpoint if there is one.

    Args:
      plan: what the config asks for.
      folder: the run's folder: a new one, or one that holds a run with the same config.
      start: who asks it to stop, who closes it, and how it begins.

    Raises:
      UserError: data or devices that do not fit the plan; a damaged file; another process that trains there.
    """
    config, mesh = plan.config, data_mesh()
    check_devices(config, mesh.size)
    data = load(config.data) if start.prepare_on_each_host else writer_first(lambda: load(config.data))
    check_data(plan, data, mesh.size)
    length = plan.length(steps_per_epoch(config, data))
    num_classes = len(data.class_names)
    groups = class_groups(data) if plan.reads_groups else None
    method = build_method(plan, num_classes, len(data.train), length, len(groups or {}))
    train = _with_given_masks(plan, data)
    key = replicated_key(mesh, config.seed)
    states = initial_states(method, key, mesh, num_classes=num_classes, image_size=config.data.image_size)
    description, weights = describe_data(config, data), None
    # A resumed run has its weights in its checkpoint. Only a classifier that begins anew later needs the file again.
    if config.classifier.pretrained and not from_writer(lambda: saved_steps(folder / "checkpoints")):
        states, weights = with_pretrained(states, config.classifier.pretrained, mesh)
        description["pretrained"] = {"source": config.classifier.pretrained, "sha256": weights.sha256}
    check_alike("data", description)
    pretrained = from_writer(lambda: _begin_in(folder, config, description, start.stack))
    check_shared(folder, "--workdir")

    position, states, notes = recover(folder / "checkpoints", states)
    start.clock.go_on_from(position.timing)
    progress = Progress(config.algorithm, length.steps, position.step)
    start.stack.callback(progress.close)
    for note in notes:
        progress.say(note)
    checkpoints = Checkpoints(folder / "checkpoints")
    start.stack.callback(checkpoints.close)
    log = _open_log(folder, config, position)
    start.stack.callback(log.close)
    batches = _open_batches(plan, train, groups, mesh, position)
    start.stack.callback(batches.close)
    if log.problem:
        progress.say(log.problem)
    if weights is not None:
        progress.say(f"pretrained  {weights.summary()}")
    start.stack.callback((profile := Profile(folder, start.profiled_steps, progress.say)).end)
    networks = method.classifier.network, method.masker.network if method.masker else None
    stop = AgreedStop(start.request, mesh)
    evaluator = Evaluator(networks, mesh, config, stop.agree)
    run = OpenRun(
        plan, folder, stop, data, pretrained, length, method, mesh, key, checkpoints, log, batches, evaluator,
        start.clock, progress, CollapseWarning(progress.say), profile,
    )  # fmt: skip
    selected = Selected(**position.selected) if position.selected else None
    return run, Reached(position.step, states, selected, position.unlogged)


def _begin_in(
    folder: Path, config: ml_collections.ConfigDict, description: dict[str, Any], stack: ExitStack
) -> Mapping[str, str] | None:
    """Makes a run's folder if it is new, and takes its lock; returns which weights the run began with."""
    # The folder is made only now: made for a config that is refused, it would refuse the corrected config.
    folder.mkdir(parents=True, exist_ok=True)
    if stack.enter_context(lock(folder / ".training.lock")) is None:
        raise UserError(f"Another process is training in {folder}; wait for it to end, or give another --workdir.")
    check_run_folder(config, folder)  # again: another process may have begun a run there meanwhile
    write_config(config, folder)
    add_start(folder, this_command())
    return check_or_write_data(description, folder).get("pretrained")


def _open_log(folder: Path, config: ml_collections.ConfigDict, position: Position) -> MetricsWriter | NoMetrics:
    if not is_writer():
        return NoMetrics()
    return MetricsWriter(folder, tensorboard=config.tensorboard, from_byte=position.log_bytes, from_step=position.step)


def steps_per_epoch(config: ml_collections.ConfigDict, data: DomainData) -> int:
    """The number of batches that go through the training images once; at least 1."""
    return max(sum(map(len, data.train.values())) // config.schedule.batch_size, 1)


def check_devices(config: ml_collections.ConfigDict, devices: int) -> None:
    """Raises a UserError if the devices cannot share a batch evenly."""
    processes = jax.process_count()
    if jax.local_device_count() * processes != devices:
        raise UserError(
            f"{processes} processes have {devices} devices, and this one {jax.local_device_count()} of them; give each "
            "the same number."
        )
    for group in ("schedule", "evaluation"):
        size = config[group].batch_size
        if size % devices:
            raise UserError(
                f"config.{group}.batch_size is {size}, which {devices} devices cannot share evenly; give a multiple "
                f"of {devices}."
            )


def check_data(plan: Plan, data: DomainData, devices: int = 1) -> None:
    """Raises a UserError if the domains cannot share a batch evenly, or if true masks are needed and are absent."""
    check_batch(plan.config, list(data.train))
    check_micro_batches(plan.config, len(data.train), devices)
    check_metrics(plan.config.explain, data)
    if plan.guidance == "true" and not data.has_masks:
        raise UserError(
            f"{plan.config.algorithm} is to be guided by true masks, but {data.name} has none; set config.guidance to "
            "'learned', 'folder', 'grey' or 'none', or choose another data set."
        )


def _with_given_masks(plan: Plan, data: DomainData) -> Mapping[str, Source]:
    """The training images, with the masks from a folder or of another quality if these are to guide."""
    if plan.guidance == "folder":
        return with_masks(data.train, Path(plan.config.data.mask_folder))
    if plan.guidance == "true":
        return with_quality(data.train, plan.config.data.mask_quality)
    return data.train


def _open_batches(
    plan: Plan, train: Mapping[str, Source], groups: ClassGroups | None, mesh: jax.sharding.Mesh, position: Position
) -> TrainingBatches:
    """The training batches, beginning at the saved position."""
    settings = plan.config.data

    def examples(sources: Mapping[str, Source], seed: int | list[int]) -> grain.MapDataset[Example]:
        return training_examples(
            sources,
            size=settings.image_size,
            seed=seed,
            with_masks=reads_masks(plan.guidance),
            augmentation=Augmentation(**settings.augmentation),
            class_groups=groups,
            balanced=settings.balanced_groups,
        )

    def redrawn_examples(draws: Any) -> grain.MapDataset[Example]:
        times = plan.algorithm.mistakes(plan.config)
        return examples(redrawn(train, unpacked(draws, train), times), [plan.config.seed, REDRAWN])

    batches = TrainingBatches(
        examples(train, plan.config.seed),
        batch_size=plan.config.schedule.batch_size,
        mesh=mesh,
        threads=settings.threads,
        prefetch=settings.prefetch,
        redrawn=redrawn_examples,
    )
    if position.data:
        try:
            batches.restore(position.data)
        except ValueError as error:
            raise UserError(
                f"The checkpoint of step {position.step} is damaged: {error}; delete its folder."
            ) from error
    return batches
