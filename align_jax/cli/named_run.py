"""The run that --workdir and --step name, for the commands that use a trained run."""

from pathlib import Path

from absl import flags

from align_jax.errors import UserError
from align_jax.runs.trained import TrainedRun, load_trained
from align_jax.runtime.processes import is_writer
from align_jax.runtime.terminal import say


def load_named_run(values: flags.FlagValues) -> TrainedRun:
    """The run that --workdir and --step name; notes say what is wrong with it."""
    if values.workdir is None:
        raise UserError("--workdir is missing; give the folder that a run was trained in.")
    return load_with_notes(Path(values.workdir), values.step)


def load_with_notes(folder: Path, step: int | None = None) -> TrainedRun:
    """A run, after notes about what is wrong with it; of several processes, one says them."""
    trained = load_trained(folder, step)
    if not is_writer():
        return trained
    if trained.defaulted:
        say(
            f"note: {folder / 'config.json'} does not have {', '.join(trained.defaulted)}; this version's defaults are "
            "used."
        )
    for note in trained.notes:
        say(f"note: {note}.")
    return trained
