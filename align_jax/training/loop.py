"""One run from its first step to its summary: warm-up, rounds, evaluation, checkpoints.

Each step has a fixed order: update, checkpoint, evaluation. So the checkpoint at step s is the state *before* the
evaluation at s, and a resumed run repeats that evaluation. Batches and keys are functions of (seed, step): a resumed
run ends bit-identical to a run that was never stopped.
"""

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np

from align_jax.configuration import with_home
from align_jax.evaluation.evaluator import Stopped
from align_jax.evaluation.scores import summarise
from align_jax.evaluation.selection import Evaluated, Selected, better, mean_accuracy
from align_jax.objectives import Metrics
from align_jax.runs.folder import check_run_folder, read_summary
from align_jax.runs.read_checkpoint import Position
from align_jax.runtime.interruption import Interrupted, stop_request
from align_jax.runtime.paths import local_path
from align_jax.runtime.processes import from_writer, is_writer
from align_jax.runtime.sharding import compile_step
from align_jax.runtime.terminal import say
from align_jax.states import States
from align_jax.training.clock import Clock
from align_jax.training.describe import describe
from align_jax.training.diagnostics import check_parameters, diverged, summed
from align_jax.training.events import events
from align_jax.training.finish import finish, interrupted, is_usable, write_gallery_of
from align_jax.training.phases import Phase, phases
from align_jax.training.plan import plan
from align_jax.training.redraw import before_update
from align_jax.training.run import OpenRun, Reached, Start, open_run


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: str | Path,
    *,
    profiled_steps: int = 0,
    prepare_on_each_host: bool = False,
) -> dict[str, Any]:
    """Trains one method, or resumes a stopped run, and evaluates the selected checkpoint.

    Args:
      config: see `configuration.default_config`.
      workdir: the run's folder: `config.json`, `data.json`, `metrics.jsonl`, `checkpoints/`, `gallery/`,
        `tensorboard/` and, once complete, `predictions.npz` and `summary.json`. The same call on a folder that holds a
        run resumes it; a complete run is not repeated.
      profiled_steps: how many updates of this start to trace into `profile/`, see `training.profile`.
      prepare_on_each_host: of several processes, whether each prepares the data set, as the hosts share no file system.

    Returns:
      The summary.

    Raises:
      UserError: a value that cannot work, a folder with another run, or training that diverged.
      Interrupted: Ctrl-C, SIGTERM or SIGHUP, after saving.
    """
    config, folder = with_home(config), local_path(workdir, "workdir")
    planned = plan(config)

    def is_complete() -> bool:
        check_run_folder(config, folder)
        return read_summary(folder) is not None

    if from_writer(is_complete) and (complete := read_summary(folder)) is not None:
        if profiled_steps and is_writer():
            say(f"WARNING --profile={profiled_steps} traces nothing: the run in {folder} is complete.")
        return complete
    with ExitStack() as stack:
        request = stack.enter_context(stop_request())
        clock = Clock()
        stack.callback(clock.close)
        with clock.part("start"):
            start = Start(request, clock, stack, profiled_steps, prepare_on_each_host)
            run, reached = open_run(planned, folder, start)
            describe(run, reached)
        summary = train(run, reached)
        if run.stop.settle() and run.stop.signal:
            # The request came too late for this run, but nothing must begin after it.
            line = f"Stopped by {run.stop.signal.name}; the run in {folder} is complete."
            raise Interrupted(line, run.stop.signal, together=True)
        return summary


def train(run: OpenRun, reached: Reached) -> dict[str, Any]:
    """The loop: update, log and checkpoint, evaluate, to the last step; then the final evaluation and the summary.

    A turn begins at a step whose checkpoint is saved if it was due, and whose evaluation is still to be made.
    """
    config, length = run.plan.config, run.length
    phase_at = phases(run.method, config.schedule, length)
    last_phase = phase_at(length.steps - 1)
    programs: dict[str, jax.stages.Compiled] = {}
    step, states, selected, unlogged = reached
    # Metrics stay on the device until they are logged: to fetch them sooner would make it wait.
    pending: list[tuple[int, Metrics]] = []
    logged = saved = step
    due = events(config, length, step, phase_at(step - 1).steps)
    while True:
        if due.gallery and run.plan.guidance != "none":
            write_gallery_of(run, "before_guidance", states)
        try:
            if due.evaluation:
                with run.clock.part("evaluation"):
                    selected = _evaluate(run, Reached(step, states, selected))
            if step >= length.steps:
                run.profile.end(step)
                return finish(run, Reached(step, states, selected))
            states = before_update(run, step, states)
        except Stopped:
            if step != saved:  # the end of warm-up need not have a checkpoint
                _save(run, Reached(step, states, selected, unlogged))
            raise interrupted(run, step) from None
        # A request that came after this step was to be saved waits for the next step, which is.
        if run.stop and step == saved:
            raise interrupted(run, step)

        phase = phase_at(step)
        with run.clock.part("compute"):  # a trace that begins or ends waits for the updates before
            run.profile.before_update(step, phase == last_phase and phase.name in programs, states)
        with run.clock.part("compute"), jax.profiler.StepTraceAnnotation("train", step_num=step):
            states, metrics = _update(run, phase, programs, states)
        pending.append((step, metrics))
        step += phase.steps
        run.progress.advance(phase.steps)

        stopping = run.stop.agree()
        due = events(config, length, step, phase.steps)
        if due.log or due.checkpoint or stopping:
            with run.clock.part("compute"):  # the loop waits here for the updates since the last time
                unlogged, pending = summed(unlogged, pending, run.last_good_checkpoint), []
        if due.log:
            means = {name: total / examples for name, (total, examples) in unlogged.items()}
            _log(run, phase, step, means, steps=step - logged)
            unlogged, logged = {}, step
        if due.checkpoint or stopping:
            _save(run, Reached(step, states, selected, unlogged))
            saved = step
        if stopping:
            raise interrupted(run, step)


def _update(
    run: OpenRun, phase: Phase, programs: dict[str, jax.stages.Compiled], states: States
) -> tuple[States, Metrics]:
    """One call of a phase's program, which is compiled on its first call; the old states are donated."""
    with run.clock.waiting_for_data():
        batches = tuple(next(run.batches) for _ in range(phase.batches))
    if phase.name not in programs:
        with run.clock.part("compile"):
            program = compile_step(phase.advance, run.mesh, donated=(0,))
            programs[phase.name] = program.lower(states, batches, run.key).compile()
    states, metrics = programs[phase.name](states, batches, run.key)
    run.clock.given(metrics)
    return states, metrics


def _log(run: OpenRun, phase: Phase, step: int, values: dict[str, float], *, steps: int) -> None:
    """Writes the means over the last `steps` steps to the log, and shows them."""
    values |= run.clock.line(steps * run.plan.config.schedule.batch_size)
    values["learning_rate"] = float(run.method.learning_rate(step - 1))
    run.log.write(step, "train", {"phase": phase.name} | values)
    run.progress.show(step, values, values["images_per_s"])
    run.collapse.look(step, values)


def _save(run: OpenRun, reached: Reached) -> None:
    with run.clock.part("saving"):
        check_parameters(reached.states, reached.step, run.last_good_checkpoint)
        selected = dataclasses.asdict(reached.selected) if reached.selected else None
        position = Position(
            reached.step, run.batches.state(), run.log.position(), selected, run.clock.timing(), dict(reached.unlogged)
        )
        run.checkpoints.save(reached.states, position)


def _evaluate(run: OpenRun, reached: Reached) -> Selected | None:
    """Writes the scores of the splits to the log; returns the selected step, which can be this one after warm-up."""
    step, states, selected, _ = reached
    evaluated = []
    for split in (split for split in run.data.evaluation if not split.only_at_the_end):
        examples = run.evaluator.examples(states, split)
        if not np.isfinite(examples["probabilities"]).all():
            raise diverged("an evaluated probability", "not finite", step, run.last_good_checkpoint)
        metrics = summarise(examples)
        run.log.write(step, split.split, {"domain": split.domain, "role": split.role} | metrics)
        evaluated.append(Evaluated(split.role, metrics["accuracy"]))
    # A checkpoint from warm-up is not selected: it was trained without guidance, so it is another method's.
    if step > run.length.warmup or step >= run.length.steps:
        rule = run.plan.config.selection
        best = better(rule, step, evaluated, selected)
        if step >= run.length.steps and best.step < step and not is_usable(run, best.step, states):
            best = better(rule, step, evaluated, None)
        selected = best
    validation = mean_accuracy(evaluated, "validation")
    run.progress.say(f"step {step}: validation accuracy {100 * validation:.1f} % (training domains)")
    return selected
