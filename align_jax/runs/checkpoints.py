"""Checkpoints: the only file that writes with Orbax (`read_checkpoint.py` reads what it wrote).

A checkpoint at step s holds the states after s updates, and beside them a `Position`: where the data, the log and the
selection stood *before* the evaluation at s. A run that comes back therefore repeats that evaluation, and nothing has
to be saved twice at one step. Orbax writes into a temporary folder and renames it: a save that was cut off leaves no
trace that `steps` could find.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from orbax.checkpoint import v1 as ocp

from align_jax.errors import UserError
from align_jax.runs.checksums import write_checksums
from align_jax.runs.read_checkpoint import Position, check_usable, restored, saved_steps
from align_jax.runs.silence import silent_orbax

# What goes wrong in training often began before the newest checkpoint.
KEPT = 2


class _Preserved:
    """The newest `KEPT` and the selected one; Orbax asks after every save."""

    def __init__(self) -> None:
        self.best_step: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        del context
        newest = len(checkpoints) - KEPT
        return [i >= newest or checkpoint.step == self.best_step for i, checkpoint in enumerate(checkpoints)]


class Checkpoints:
    """A run's `checkpoints/` folder; saving goes on in the background, closing waits for it.

    Raises:
      UserError: the folder cannot be written. A save that fails in the background says so when the next one begins, or
        when the folder is read or closed.
    """

    def __init__(self, folder: Path) -> None:
        self._preserved = _Preserved()
        self._saving: int | None = None

        # Orbax calls this in its thread, when all is written and before the folder gets its name. (It copies a method,
        # and the method's object with it.)
        def add_checksums() -> None:
            # The position is still being written, in a thread that no public name leads to.
            self._checkpointer._manager._checkpointer._metadata_store.wait_until_finished()
            write_checksums(folder.absolute() / f"{self._saving}.orbax-checkpoint-tmp")

        # Threads that write would wait for ever for a folder that a background thread could not make.
        options = ocp.options.AsyncOptions(
            create_directories_asynchronously=False, post_finalization_callback=add_checksums
        )
        with ExitStack() as stack:
            stack.enter_context(silent_orbax())
            self._checkpointer = ocp.training.Checkpointer(
                folder.absolute(),
                context=ocp.Context(async_options=options),
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=self._preserved,
                cleanup_tmp_directories=True,
            )
            if not os.access(folder, os.W_OK):
                raise UserError(f"{folder} cannot be written; make it writable, or give another --workdir.")
            self._silence = stack.pop_all()

    def save(self, states: Any, position: Position) -> None:
        """Saves in the background; the states may be donated as soon as this returns.

        Saving a step that is there already does nothing: it holds the same.
        """
        self._preserved.best_step = int(position.selected["step"]) if position.selected else None
        self.wait()
        if position.step in self.steps():
            return
        self._saving = position.step
        with self._naming_failure():
            self._checkpointer.save_checkpointables_async(
                position.step, {"states": states}, force=True, custom_metadata=position._asdict()
            )

    def wait(self) -> None:
        """Waits for the save that is under way.

        Raises:
          UserError: it failed.
        """
        with self._naming_failure():
            self._checkpointer.wait()
        self._saving = None

    @contextmanager
    def _naming_failure(self) -> Iterator[None]:
        """Turns what a save raises, be it here or in the background, into a sentence."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            step, self._saving = self._saving, None
            folder = self._checkpointer.directory
            reason = " ".join(str(error).split())[:300]
            earlier = [saved for saved in saved_steps(Path(folder)) if saved != step]
            resumed = f"the run goes on from step {earlier[-1]}" if earlier else "the run begins anew"
            raise UserError(
                f"The checkpoint of step {step} could not be saved in {folder} ({reason}); see that the folder is "
                f"there, can be written and has room, and give the same command again: {resumed}."
            ) from error

    def steps(self) -> list[int]:
        """Steps that can be restored, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def check_usable(self, step: int, like: Any) -> None:
        """Raises a `BrokenFile` if the checkpoint of a step is not as it was saved; see `read_checkpoint`."""
        self.wait()  # it may be the very step whose save is under way
        check_usable(Path(self._checkpointer.directory) / str(step), like)

    def restore(self, step: int, like: Any) -> Any:
        """The states at a step, with the shapes, dtypes and shardings of `like`.

        Raises:
          BrokenFile: they cannot be read.
        """
        self.wait()
        return restored(Path(self._checkpointer.directory) / str(step), like)

    def close(self) -> None:
        """Waits for the last save.

        Raises:
          UserError: it failed.
        """
        with self._silence, self._naming_failure():
            self._checkpointer.close()
