"""Whether the processes of a run stop: all of them at the same step, whichever was asked to."""

import signal

import jax
import jax.numpy as jnp
import numpy as np

from align_jax.runtime.interruption import StopRequest
from align_jax.runtime.sharding import place_batch, replicated


class AgreedStop:
    """A request to stop that all processes see at the same place of the program. Of one process it is its own request.

    A spot machine's SIGTERM comes to one host, and a process that stopped by itself would leave the others in the
    middle of a collective. So the processes reduce over their requests at fixed places, and obey only what all of them
    know.
    """

    def __init__(self, request: StopRequest, mesh: jax.sharding.Mesh) -> None:
        """`request` is this process's own."""
        self._request, self._mesh = request, mesh
        self._several = jax.process_count() > 1
        self._agreed = 0
        self._asked: jax.Array | None = None
        self._largest = jax.jit(jnp.max, out_shardings=replicated(mesh))

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that asked, as far as all processes know; if several did, one of them."""
        if not self._several:
            return self._request.signal
        return signal.Signals(self._agreed) if self._agreed else None

    def __bool__(self) -> bool:
        return self.signal is not None

    def agree(self) -> bool:
        """Asks all processes, and returns whether one had been asked when this was called before.

        It is the answer to the last call that is read, so that no host waits for the step that its devices are at.
        """
        if self._several:
            self._read()
            number = self._request.signal or 0
            own = np.full(len(self._mesh.local_devices), number, np.int32)
            self._asked = self._largest(place_batch(self._mesh, {"signal": own})["signal"])
        return bool(self)

    def settle(self) -> bool:
        """As `agree`, but returns whether a process has been asked by now."""
        self.agree()
        self._read()
        return bool(self)

    def _read(self) -> None:
        if self._asked is not None:
            self._agreed, self._asked = max(self._agreed, int(self._asked)), None
