"""How every command ends: with an exit status, and with one line for a user's mistake."""

from collections.abc import Callable

from align_jax.errors import UserError
from align_jax.runtime.interruption import Interrupted, end_at_signals
from align_jax.runtime.terminal import say, set_up_streams, show

FEWER_IMAGES = "give it fewer or smaller images, or more memory"
SMALLER_BATCHES = (
    "raise config.schedule.accumulate, or lower config.schedule.batch_size, config.evaluation.batch_size or "
    "config.data.image_size"
)


class HelpAsked(Exception):
    """--help was given; the message is what to print."""


def exit_status(
    program: Callable[[], int | None], *, on_os_error: str, on_interrupt: str, on_memory_error: str = FEWER_IMAGES
) -> int:
    """Runs a program, and prints in one line what went wrong.

    Args:
      program: raises `UserError` for a user's mistake; can return a status of its own.
      on_os_error: what to check if a file cannot be read or written.
      on_interrupt: what Ctrl-C leaves behind.
      on_memory_error: what to do if there is too little memory.

    Returns:
      The program's own status, or 0; 2 for a user's mistake, 128 plus the signal's number when interrupted.
    """
    set_up_streams()
    restore_handlers = end_at_signals(on_interrupt)
    try:
        return program() or 0
    except HelpAsked as usage:
        show(str(usage))
        return 0
    except Interrupted as interrupted:
        say(str(interrupted))
        return interrupted.status
    except UserError as error:
        say(f"error: {error}")
        return 2
    except OSError as error:
        say(f"error: {UserError(f'{error}; {on_os_error}')}")
        return 2
    except (MemoryError, RuntimeError) as error:
        # JAX's own class would have to be imported, which takes seconds.
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        say(f"error: {UserError(f'There is not enough memory ({error}); {on_memory_error}.')}")
        return 2
    except KeyboardInterrupt:  # from a handler that other code has set
        say(f"Interrupted; {on_interrupt}")
        return 130
    finally:
        restore_handlers()
