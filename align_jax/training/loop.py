"""One run: warm-up, rounds, evaluation, checkpoints, and a summary at the end.

The loop passes each boundary in a fixed order: update, checkpoint, evaluation. A checkpoint at step s is thus the state
*before* the evaluation at s, which a run that comes back repeats; with batches and keys that are functions of
(seed, step) it ends bit-identical to a run that was never stopped.
"""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from align_jax.configuration import check, durations
from align_jax.data.augment import Augmentation
from align_jax.data.degraded_masks import with_quality
from align_jax.data.domains import DomainData, describe_data
from align_jax.data.load import load
from align_jax.data.mask_folder import with_masks
from align_jax.data.pipeline import TrainingBatches, training_examples
from align_jax.errors import UserError
from align_jax.evaluation.evaluator import Evaluator, Stopped, summarise
from align_jax.evaluation.gallery import gallery_examples, write_gallery
from align_jax.evaluation.selection import Evaluated, Selected, better, mean_accuracy
from align_jax.guidance import reads_masks
from align_jax.models.pretrained import Loaded, locate
from align_jax.models.pretrained import load as load_weights
from align_jax.objectives import Metrics, Sizes
from align_jax.runs.checkpoints import Checkpoints, Position, saved_steps
from align_jax.runs.folder import check_or_write_data, check_run_folder, read_summary, write_config, write_summary
from align_jax.runtime.files import write_arrays
from align_jax.runtime.interruption import Interrupted, StopRequest, stop_request
from align_jax.runtime.locks import lock
from align_jax.runtime.sharding import compile_step, data_mesh, replicated
from align_jax.states import States, create_classifier_state, create_masker_state
from align_jax.training import startup
from align_jax.training.clock import Clock
from align_jax.training.diagnostics import CollapseWarning, Pending, check_parameters, diverged
from align_jax.training.method import build_method, warms_up
from align_jax.training.metrics_log import MetricsWriter
from align_jax.training.phases import rounds_phase, warmup_phase
from align_jax.training.progress import Progress


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: str | Path) -> dict[str, Any]:
    """Trains one method, or goes on where it was stopped, and evaluates the checkpoint that was selected.

    Args:
      config: see `configuration.default_config`.
      workdir: the run's folder: `config.json`, `metrics.jsonl`, `checkpoints/`, `gallery/`, `tensorboard/`, and, once
        complete, `summary.json`. The same call on a folder that holds a run resumes it; a complete run is not repeated.

    Returns:
      The summary.

    Raises:
      UserError: a value that could not work, a folder with another run, or training that diverged.
      Interrupted: Ctrl-C or SIGTERM, after saving.
    """
    check(config)
    run = Path(workdir)
    check_run_folder(config, run)
    summary = read_summary(run)
    if summary is not None:
        return summary
    with ExitStack() as stack:
        stop = stack.enter_context(stop_request())
        summary = _Run(config, run, stop, stack).train()
        if stop.signal:
            # It came too late to stop this run, but whatever would follow it should not begin.
            raise Interrupted(f"Stopped by {stop.signal.name}; the run in {run} is complete.", stop.signal)
        return summary


class _Run:
    """What a run's parts share while it lasts: places to read from and write to, and what was compiled."""

    def __init__(self, config: ml_collections.ConfigDict, run: Path, stop: StopRequest, stack: ExitStack) -> None:
        self.config, self.run, self.stop = config, run, stop
        self.data: DomainData = load(config.data)
        self.mesh = data_mesh()
        startup.check_start(config, self.data, self.mesh.size)
        steps_per_epoch = max(sum(map(len, self.data.train.values())) // config.schedule.batch_size, 1)
        self.steps, self.warmup = durations(config.schedule, steps_per_epoch, warms_up(config))
        self.method = build_method(config, len(self.data.class_names), len(self.data.train), self.steps, self.warmup)
        train = self.data.train
        if self.method.guidance == "folder":
            train = with_masks(train, Path(config.data.mask_folder))
        elif self.method.guidance == "true":
            train = with_quality(train, config.data.mask_quality)
        self.key = jax.device_put(jax.random.key(config.seed), replicated(self.mesh))
        self.states = self._initial_states()
        description = describe_data(config, self.data)
        weights = None
        # A run that goes on has its weights in its checkpoint, and no longer needs the file.
        if config.classifier.pretrained and not saved_steps(run / "checkpoints"):
            weights = self._load_pretrained()
            description["pretrained"] = {"source": config.classifier.pretrained, "sha256": weights.sha256}
        # Only now: a folder made for a config that was refused would refuse the corrected one.
        write_config(config, run)
        self.description = check_or_write_data(description, run)
        if stack.enter_context(lock(run / ".training.lock")) is None:
            raise UserError(f"Another process is training in {run}; wait for it to end, or give another --workdir.")

        self.checkpoints = Checkpoints(run / "checkpoints")
        stack.callback(self.checkpoints.close)
        saved = self.checkpoints.steps()
        self.position = self.checkpoints.position(saved[-1]) if saved else Position(0, {}, 0, None, {})
        if saved:
            self.states = self.checkpoints.restore(saved[-1], self.states)
        self.best = Selected(**self.position.selected) if self.position.selected else None

        self.writer = MetricsWriter(
            run, tensorboard=config.tensorboard, from_byte=self.position.log_bytes, from_step=self.position.step
        )
        stack.callback(self.writer.close)
        self.batches = TrainingBatches(
            training_examples(
                train,
                size=config.data.image_size,
                seed=config.seed,
                with_masks=reads_masks(self.method.guidance),
                augmentation=Augmentation(**config.data.augmentation),
            ),
            batch_size=config.schedule.batch_size,
            mesh=self.mesh,
            threads=config.data.threads,
            prefetch=config.data.prefetch,
        )
        stack.callback(self.batches.close)
        if saved:
            self.batches.restore(self.position.data)
        self.clock = Clock(self.position.timing, self.batches)
        self.evaluator = Evaluator(
            self.method.classifier.network,
            self.method.masker.network if self.method.masker else None,
            self.mesh,
            image_size=config.data.image_size,
            batch_size=config.evaluation.batch_size,
            explained_class=config.evaluation.explained_class,
            fill=config.evaluation.fill,
            insertion_steps=config.evaluation.insertion_steps,
            threads=config.data.threads,
        )
        self.progress = Progress(config.algorithm, self.steps, self.position.step)
        stack.callback(self.progress.close)
        self.collapse = CollapseWarning(self.progress.say)
        if saved:
            self.progress.say(f"going on at step {self.position.step} of {self.steps} from {run}")
        startup.describe(
            config,
            self.data,
            self.mesh.devices,
            steps=self.steps,
            warmup=self.warmup,
            steps_per_epoch=steps_per_epoch,
            parameters={
                name: state.params for name, state in zip(("classifier", "masker"), self.states, strict=True) if state
            },
            say=self.progress.say,
        )
        if weights is not None:
            self.progress.say(f"pretrained  {weights.summary()}")

    def _initial_states(self) -> States:
        """Both networks, initialised where they will live."""
        size = self.config.data.image_size
        image = jnp.zeros((1, size, size, 3), jnp.float32)
        masker = self.method.masker

        def create(key: jax.Array) -> States:
            classifier_key, masker_key = jax.random.split(key)
            update = self.method.classifier
            carried = update.objective.initial_carried(Sizes(update.num_domains, len(self.data.class_names)))
            classifier_state = create_classifier_state(update.network, update.optimizer, classifier_key, image, carried)
            if masker is None:
                return classifier_state, None
            return classifier_state, create_masker_state(masker.network, masker.optimizer, masker_key, image)

        return compile_step(create, self.mesh)(self.key)

    def _load_pretrained(self) -> Loaded:
        """Puts the weights of `config.classifier.pretrained` into the classifier."""
        classifier, masker = self.states
        weights = load_weights(locate(self.config.classifier.pretrained), classifier.params, classifier.batch_stats)
        params, batch_stats = jax.device_put((weights.params, weights.batch_stats), replicated(self.mesh))
        # The optimiser's state begins with zeros whatever the parameters are.
        self.states = dataclasses.replace(classifier, params=params, batch_stats=batch_stats), masker
        return weights

    def train(self) -> dict[str, Any]:
        """The loop, then the final evaluation."""
        schedule = self.config.schedule
        rounds = rounds_phase(self.method, schedule.masker_steps, schedule.classifier_steps)
        phases = {"warmup": warmup_phase(self.method), "rounds": rounds}
        programs: dict[str, Callable[..., tuple[States, Metrics]]] = {}
        step, pending = self.position.step, Pending()
        logged = step
        while True:
            advance = schedule.classifier_steps if step > self.warmup and self.method.masker else 1
            if step == self.warmup > 0:
                self._write_gallery("before_guidance", self.states)
            if _crosses(step, advance, self.config.evaluation.every) or step >= self.steps > 0:
                self._evaluate(step)
            if step >= self.steps:
                return self._finish(step)
            if step == logged:
                self.clock.restart_stretch()
            if self.stop:
                self._interrupted(step)

            phase = phases["warmup" if step < self.warmup else "rounds"]
            batches = tuple(next(self.batches) for _ in range(phase.batches))
            if phase.name not in programs:
                with self.clock.compiling():
                    program = compile_step(phase.advance, self.mesh, donated=(0,))
                    programs[phase.name] = program.lower(self.states, batches, self.key).compile()
            self.states, metrics = programs[phase.name](self.states, batches, self.key)
            pending.add(step, metrics)
            step += phase.steps
            self.progress.advance(phase.steps)

            stopping = bool(self.stop)
            saving = (
                stopping
                or step >= self.steps
                or _crosses(step, phase.steps, self.config.checkpoint_every)
                or _crosses(step, phase.steps, self.config.evaluation.every)
            )
            if saving or step == self.warmup or _crosses(step, phase.steps, self.config.log_every):
                values = pending.flush(self._last_good_checkpoint)
                values |= self.clock.end_stretch((step - logged) * schedule.batch_size)
                values["learning_rate"] = float(self.method.learning_rate(step - 1))
                logged = step
                self.writer.write(step, "train", {"phase": phase.name} | values)
                self.progress.show(step, values, values["images_per_s"])
                self.collapse.look(step, values)
            if saving:
                self._save(step)
            if stopping:
                self._interrupted(step)

    def _save(self, step: int) -> None:
        check_parameters(self.states, step, self._last_good_checkpoint)
        selected = dataclasses.asdict(self.best) if self.best else None
        position = Position(step, self.batches.state(), self.writer.position(), selected, self.clock.timing())
        self.checkpoints.save(self.states, position)

    def _last_good_checkpoint(self, diverged_at: int) -> str:
        # The updates that led to `diverged_at` are what went wrong, so a checkpoint of that very step is no good.
        steps = [step for step in self.checkpoints.steps() if step < diverged_at]
        return f"step {steps[-1]} in {self.run / 'checkpoints'}" if steps else "none, as nothing was saved before it"

    def _interrupted(self, step: int) -> NoReturn:
        assert self.stop.signal is not None
        saved = "which is saved; the same command goes on from there" if step else "with nothing to save yet"
        raise Interrupted(
            f"Stopped by {self.stop.signal.name} after step {step} of {self.steps}, {saved}.", self.stop.signal
        )

    def _evaluate(self, step: int) -> None:
        """Every split's scores into the log; the selection looks at them once warm-up is over."""
        evaluated = []
        for split in self.data.evaluation:
            try:
                examples = self.evaluator.examples(self.states, split, lambda: bool(self.stop))
            except Stopped:
                self._interrupted(step)
            if not np.isfinite(examples["probabilities"]).all():
                raise diverged("an evaluated probability", "not finite", step, self._last_good_checkpoint(step))
            metrics = summarise(examples)
            self.writer.write(step, split.split, {"domain": split.domain, "role": split.role} | metrics)
            evaluated.append(Evaluated(split.role, metrics["accuracy"]))
        # Before the rounds begin there is no ALIGN to select: a checkpoint from warm-up would be another method's.
        if step > self.warmup or step >= self.steps:
            self.best = better(self.config.selection, step, evaluated, self.best)
        validation = mean_accuracy(evaluated, "validation")
        self.progress.say(f"step {step}: validation accuracy {100 * validation:.1f} % (training domains)")

    def _guidance(self) -> str:
        """What guided, for the results: degraded masks are not to pass for true ones."""
        quality = self.config.data.mask_quality
        return f"{quality} masks" if self.method.guidance == "true" and quality != "true" else self.method.guidance

    def _write_gallery(self, name: str, states: States) -> None:
        examples = gallery_examples(self.data, self.config.evaluation.gallery_images)
        write_gallery(self.run / "gallery" / f"{name}.npz", self.evaluator, states, examples)

    def _finish(self, step: int) -> dict[str, Any]:
        """The selected checkpoint's results."""
        config = self.config
        assert self.best is not None
        states = self.checkpoints.restore(self.best.step, self.states)
        self.progress.say(f"evaluating step {self.best.step}, selected by {config.selection}")
        results: list[dict[str, Any]] = []
        predictions: dict[str, np.ndarray] = {}
        for split in (split for split in self.data.evaluation if split.role != "validation"):
            try:
                row, examples = self.evaluator.results(
                    states,
                    split,
                    self.data.class_names,
                    config.evaluation.faithfulness_images,
                    lambda: bool(self.stop),
                )
            except Stopped:
                self._interrupted(step)
            predictions |= {f"{split.domain}/{split.split}/{name}": values for name, values in examples.items()}
            results.append({"domain": split.domain, "role": split.role, "split": split.split} | row)
        write_arrays(self.run / "predictions.npz", predictions)
        self._write_gallery("final", states)
        summary = {
            "algorithm": config.algorithm,
            "guidance": self._guidance(),
            "dataset": self.data.name,
            "protocol": config.data.protocol,
            "domain": config.data.domain,
            "seed": config.seed,
            "step": step,
            "best_step": self.best.step,
            "selection": config.selection,
            "validation_accuracy": self.best.validation_accuracy,
            "train_domains": list(self.data.train),
            "held_out_domains": [split.domain for split in self.data.evaluation if split.role == "ood"],
            "num_classes": len(self.data.class_names),
            "class_names": list(self.data.class_names),
            "results": results,
            **{name: self.description[name] for name in ("pretrained",) if name in self.description},
            "timing": self.clock.summary(step * config.schedule.batch_size),
        }
        write_summary(self.run, summary)
        return summary


def _crosses(step: int, advance: int, every: int) -> bool:
    """Whether a multiple of `every` lies in the last `advance` steps, in (step - advance, step]."""
    return step > 0 and step // every > (step - advance) // every
