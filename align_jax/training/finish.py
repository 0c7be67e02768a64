"""How a run ends: with the selected checkpoint's results and a summary, or stopped and saved."""

from typing import Any

import numpy as np

from align_jax.evaluation.gallery import gallery_examples, write_gallery
from align_jax.runs.folder import write_summary
from align_jax.runtime.files import write_arrays
from align_jax.runtime.interruption import Interrupted
from align_jax.states import States
from align_jax.training.run import Reached, Run


def finish(run: Run, reached: Reached) -> dict[str, Any]:
    """Evaluates the selected checkpoint, and writes `predictions.npz`, the gallery and `summary.json`.

    Returns:
      The summary.
    """
    config, selected = run.plan.config, reached.selected
    assert selected is not None
    states = run.checkpoints.restore(selected.step, reached.states)
    run.progress.say(f"evaluating step {selected.step}, selected by {config.selection}")
    results: list[dict[str, Any]] = []
    predictions: dict[str, np.ndarray] = {}
    for split in (split for split in run.data.evaluation if split.role != "validation"):
        row, examples = run.evaluator.results(states, split, run.data.class_names)
        predictions |= {f"{split.domain}/{split.split}/{name}": values for name, values in examples.items()}
        results.append({"domain": split.domain, "role": split.role, "split": split.split} | row)
    write_arrays(run.folder / "predictions.npz", predictions)
    write_gallery_of(run, "final", states)
    summary = {
        "algorithm": config.algorithm,
        "guidance": run.plan.guidance_title,
        "dataset": run.data.name,
        "protocol": config.data.protocol,
        "domain": config.data.domain,
        "seed": config.seed,
        "step": reached.step,
        "best_step": selected.step,
        "selection": config.selection,
        "validation_accuracy": selected.validation_accuracy,
        "train_domains": list(run.data.train),
        "held_out_domains": [split.domain for split in run.data.evaluation if split.role == "ood"],
        "num_classes": len(run.data.class_names),
        "class_names": list(run.data.class_names),
        "results": results,
        **{name: run.data_description[name] for name in ("pretrained",) if name in run.data_description},
        "timing": run.clock.summary(reached.step * config.schedule.batch_size),
    }
    write_summary(run.folder, summary)
    return summary


def write_gallery_of(run: Run, name: str, states: States) -> None:
    """Writes the run's `gallery/NAME.npz`."""
    examples = gallery_examples(run.data, run.plan.config.evaluation.gallery_images)
    write_gallery(run.folder / "gallery" / f"{name}.npz", run.evaluator, states, examples)


def interrupted(run: Run, step: int) -> Interrupted:
    """What a run raises that was asked to end."""
    assert run.stop.signal is not None
    saved = "which is saved; the same command goes on from there" if step else "with nothing to save yet"
    return Interrupted(
        f"Stopped by {run.stop.signal.name} after step {step} of {run.length.steps}, {saved}.", run.stop.signal
    )
