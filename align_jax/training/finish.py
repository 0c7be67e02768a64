"""How a run ends: with the results of the selected checkpoint and a summary, or stopped and saved."""

from typing import Any

import numpy as np

from align_jax.data.domains import EvaluationSplit
from align_jax.evaluation.background_gap import background_gaps
from align_jax.evaluation.explained_methods import explain_settings
from align_jax.evaluation.gallery import background_examples, gallery_examples, write_gallery
from align_jax.runs.folder import write_summary
from align_jax.runs.untrusted_json import BrokenFile
from align_jax.runtime.files import write_arrays
from align_jax.runtime.interruption import Interrupted
from align_jax.runtime.processes import from_writer, is_writer
from align_jax.states import States
from align_jax.training.clock import described
from align_jax.training.run import OpenRun, Reached


def finish(run: OpenRun, reached: Reached) -> dict[str, Any]:
    """Evaluates the selected checkpoint, writes `predictions.npz`, gallery and `summary.json`; returns the summary."""
    config, data, selected = run.plan.config, run.data, reached.selected
    assert selected is not None
    with run.clock.part("saving"):
        run.checkpoints.wait()  # a summary says that the run is complete, and so its last checkpoint is saved
        last = selected.step == reached.step
        states = reached.states if last else run.checkpoints.restore(selected.step, reached.states)
    run.progress.say(f"evaluating step {selected.step}, selected by {config.selection}")
    results: list[dict[str, Any]] = []
    predictions: dict[str, np.ndarray] = {}
    tested: list[tuple[EvaluationSplit, dict[str, np.ndarray]]] = []
    for split in (split for split in data.evaluation if split.role != "validation"):
        with run.clock.part("evaluation"):
            row, examples = run.evaluator.results(states, split, data.class_names)
        tested.append((split, examples))
        predictions |= {f"{split.domain}/{split.split}/{name}": values for name, values in examples.items()}
        results.append({"domain": split.domain, "role": split.role, "split": split.split} | row)
    if is_writer():
        with run.clock.part("saving"):
            write_arrays(run.folder / "predictions.npz", predictions)
    write_gallery_of(run, "final", states)
    if on_backgrounds := background_examples(data):
        with run.clock.part("evaluation"):
            write_gallery(run.folder / "gallery" / "backgrounds.npz", run.evaluator, states, on_backgrounds)
    summary = {
        "algorithm": config.algorithm,
        "guidance": run.plan.guidance_title,
        "dataset": data.name,
        "protocol": config.data.protocol,
        "domain": config.data.domain,
        "seed": config.seed,
        "step": reached.step,
        "best_step": selected.step,
        "selection": config.selection,
        "validation_accuracy": selected.validation_accuracy,
        "train_domains": list(data.train),
        "held_out_domains": [split.domain for split in data.evaluation if split.role == "ood"],
        "num_classes": len(data.class_names),
        "class_names": list(data.class_names),
        "results": results,
        "explain": explain_settings(config.explain, with_masks=data.has_masks),
        "background_gaps": background_gaps(tested),
        **({"pretrained": run.pretrained} if run.pretrained else {}),
        "timing": run.clock.summary(reached.step * config.schedule.batch_size),
    }
    if is_writer():
        write_summary(run.folder, summary)
    run.progress.say(f"time        {described(run.clock.timing())}")
    return summary


def is_usable(run: OpenRun, step: int, like: States) -> bool:
    """Whether the checkpoint of the selected step is as it was saved; says it if not."""
    run.checkpoints.wait()  # it may be the very step whose save is under way

    def is_whole() -> bool:
        try:
            run.checkpoints.check_usable(step, like)
        except BrokenFile as error:
            run.progress.say(
                f"WARNING the selected checkpoint of step {step} is damaged: {error.problem}; the last step is "
                "reported."
            )
            return False
        return True

    return bool(from_writer(is_whole))


def write_gallery_of(run: OpenRun, name: str, states: States) -> None:
    """Writes the run's `gallery/NAME.npz`."""
    with run.clock.part("evaluation"):
        examples = gallery_examples(run.data, run.plan.config.evaluation.gallery_images)
        write_gallery(run.folder / "gallery" / f"{name}.npz", run.evaluator, states, examples)


def interrupted(run: OpenRun, step: int) -> Interrupted:
    """The exception of a run that was asked to stop, after step `step`; a trace that was begun is written."""
    assert run.stop.signal is not None
    run.profile.end(step)
    saved = "which is saved; the same command goes on from there" if step else "and nothing was saved yet"
    return Interrupted(
        f"Stopped by {run.stop.signal.name} after step {step} of {run.length.steps}, {saved}.",
        run.stop.signal,
        together=True,
    )
