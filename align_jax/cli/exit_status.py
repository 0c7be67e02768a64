"""How every command ends: with an exit status, and with one line for a user's mistake."""

from collections.abc import Callable
from typing import NamedTuple

from align_jax.errors import UserError
from align_jax.runtime.interruption import Interrupted, end_at_signals
from align_jax.runtime.joining import Processes
from align_jax.runtime.terminal import say, set_up_streams, show

FEWER_IMAGES = "give it fewer or smaller images, or more memory"
SMALLER_BATCHES = (
    "raise config.schedule.accumulate, set config.classifier.remat=True or config.classifier.dtype=bfloat16, or lower "
    "config.schedule.batch_size, config.evaluation.batch_size or config.data.image_size"
)


class HelpAsked(Exception):
    """--help was given; the message is what to print."""


class Ending(NamedTuple):
    """How a program ended.

    Attributes:
      status: the exit status.
      line: what is said, or empty.
      together: whether all processes of the program end in this way; one of them says it then.
    """

    status: int
    line: str = ""
    together: bool = False


def exit_status(
    program: Callable[[], int | None],
    *,
    on_os_error: str,
    on_interrupt: str,
    on_memory_error: str = FEWER_IMAGES,
    processes: Processes | None = None,
) -> int:
    """Runs a program, and prints in one line what went wrong.

    Args:
      program: raises `UserError` for a user's mistake; can return a status of its own.
      on_os_error: what to check if a file cannot be read or written.
      on_interrupt: what Ctrl-C leaves behind.
      on_memory_error: what to do if there is too little memory.
      processes: those that run the program together, if it can have several.

    Returns:
      The program's own status, or 0; 2 for a user's mistake, 128 plus the signal's number when interrupted. A process
      that leaves others behind ends here, see `Processes.leave`.
    """
    processes = Processes() if processes is None else processes
    set_up_streams()
    restore_handlers = end_at_signals(on_interrupt)
    try:
        ending = _ending(program, on_os_error, on_interrupt, on_memory_error)
        if ending.line and (processes.is_writer or not ending.together):
            say(ending.line)
        processes.leave(ending.status, ending.line, together=ending.together)
        return ending.status
    except BaseException as error:
        if processes.have_joined:
            processes.leave_after(error)
        raise
    finally:
        restore_handlers()


def _ending(program: Callable[[], int | None], on_os_error: str, on_interrupt: str, on_memory_error: str) -> Ending:
    """Runs a program; see `exit_status`."""
    try:
        return Ending(program() or 0, together=True)
    except HelpAsked as usage:
        show(str(usage))
        return Ending(0)
    except Interrupted as interrupted:
        return Ending(interrupted.status, str(interrupted), interrupted.together)
    except UserError as error:
        return Ending(2, f"error: {error}", error.together)
    except OSError as error:
        return Ending(2, f"error: {UserError(f'{error}; {on_os_error}')}")
    except (MemoryError, RuntimeError) as error:
        # JAX's own class would have to be imported, which takes seconds.
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return Ending(2, f"error: {UserError(f'There is not enough memory ({error}); {on_memory_error}.')}")
    except KeyboardInterrupt:  # from a handler that other code has set
        return Ending(130, f"Interrupted; {on_interrupt}")
