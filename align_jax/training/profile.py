"""`--profile=STEPS`: a trace of some updates of a run, for TensorBoard's profiler or Perfetto, in its `profile/`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from align_jax.errors import one_line

FOLDER = "profile"


class Profile:
    """A trace of the first `steps` updates of the last phase that a start makes after the one that compiles.

    What happens between two of these updates is in it, such as an evaluation or a save. The device is waited for before
    the trace begins and before it ends, so that the trace holds these updates and no others. A trace that fails is
    said, and the run goes on.
    """

    def __init__(self, run: Path, steps: int, say: Callable[[str], None]) -> None:
        """Traces into the folder RUN/profile; nothing for 0 steps."""
        self._folder, self._steps, self._say = run / FOLDER, steps, say
        self._began: int | None = None

    def before_update(self, step: int, compiled: bool, states: Any) -> None:
        """Begins or ends the trace if it is time to.

        Args:
          step: the classifier's updates so far.
          compiled: the update that comes next is of the last phase, and its program was called before.
          states: of both networks.
        """
        if self._began is None and self._steps and compiled:
            jax.block_until_ready(states)
            self._begin(step)
        elif self._steps and self._began is not None and step - self._began >= self._steps:
            jax.block_until_ready(states)
            self.end(step)

    def end(self, step: int | None = None) -> None:
        """Writes a trace that was begun, and says what it holds; says it if there is none.

        Args:
          step: the classifier's updates so far; None after an error.
        """
        if not self._steps:
            return
        asked, self._steps = self._steps, 0
        if self._began is None:
            self._say(f"WARNING --profile={asked} found no update to trace: this start made none after compiling.")
            return
        try:
            jax.profiler.stop_trace()
        except (RuntimeError, OSError) as error:
            self._say(f"WARNING the profile could not be written into {self._folder}: {one_line(str(error))}")
            return
        traced = "" if step is None else f"{step - self._began} of {asked} "
        self._say(f"profile     {traced}steps, from step {self._began} on: {self._folder}")

    def _begin(self, step: int) -> None:
        options = jax.profiler.ProfileOptions()
        # The calls of Python's functions would bury the parts that have names.
        options.python_tracer_level = 0
        # All processes of a run write into one folder. A file has its host's name, which several processes may share.
        process = f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""
        options.session_id = f"{time.strftime('%Y-%m-%d')}_from_step_{step}{process}"
        try:
            jax.profiler.start_trace(self._folder, profiler_options=options)
        except (RuntimeError, OSError) as error:
            self._say(f"WARNING the profile could not begin: {one_line(str(error))}")
            self._steps = 0
            return
        self._began = step
