"""What several processes of one program have in common: one writer, and what all of them know alike.

Process 0 is the writer. It alone writes into a run's folder, except for the parts of checkpoints, and shows how the run
goes; so a run of several hosts leaves what a run of one leaves. With one process nothing here does anything.

Short messages go through JAX's coordination service, which lives in process 0. Unlike a collective on the devices, it
can wait for hours, as while the writer prepares a data set, and notices meanwhile if a process dies.
"""

import json
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from align_jax.errors import UserError
from align_jax.runtime.interruption import Interrupted
from align_jax.runtime.sharding import data_mesh, place_batch, replicated

T = TypeVar("T")

# Keys of the coordination service.
PREFIX = "align_jax"
# A data set may take hours to prepare. If the writer dies meanwhile, the service ends the wait.
LONGEST_WAIT_MS = 7 * 24 * 3600 * 1000
# A file that another host has made appears on a network's file system after some seconds.
APPEARS_S = 20.0


def _client() -> Any:
    """JAX's client of the coordination service, which has no public name.

    Raises:
      UserError: there are several processes, but this one was not told so. The runtime of a TPU slice knows it.
    """
    from jax._src import distributed

    client = distributed.global_state.client
    if client is None:
        raise UserError(
            f"This host is one of {jax.process_count()} that share their devices; start the same command on each of "
            "them, with --distributed=auto."
        )
    return client


def is_writer() -> bool:
    """Whether this process writes the run's files, and shows how it goes."""
    return jax.process_index() == 0


def from_writer(work: Callable[[], Any]) -> Any:
    """Does some work in the writer, and returns its result in every process; all of them must call it.

    Args:
      work: returns values for JSON; only the writer calls it.

    Raises:
      UserError, Interrupted: `work` raised it; all processes do then.
    """
    if jax.process_count() == 1:
        return work()
    client = _client()
    number = client.key_value_increment(f"{PREFIX}/asked/{jax.process_index()}", 1)
    key = f"{PREFIX}/answers/{number}"
    if not is_writer():
        return _value(json.loads(client.blocking_key_value_get(key, LONGEST_WAIT_MS)))
    try:
        answer = {"value": work()}
    except UserError as error:
        answer = {"mistake": str(error)}
    except Interrupted as interrupted:
        answer = {"interrupted": str(interrupted), "status": interrupted.status}
    text = json.dumps(answer)
    client.key_value_set(key, text)
    return _value(json.loads(text))


def _value(answer: dict[str, Any]) -> Any:
    if "mistake" in answer:
        raise _together(answer["mistake"])
    if "interrupted" in answer:
        raise Interrupted(answer["interrupted"], answer["status"] - 128, together=True)
    return answer["value"]


def writer_first(work: Callable[[], T]) -> T:
    """Does some work in the writer, and then in the other processes, which find what it has left on the disk."""
    results: list[T] = []
    from_writer(lambda: results.append(work()))
    return results[0] if results else work()


def gathered(content: bytes) -> list[bytes]:
    """The content of every process, in order, in each of them; all of them must call it."""
    if jax.process_count() == 1:
        return [content]
    lengths = _gather(np.array([len(content)], np.int32))[:, 0]
    # A program is compiled for each length: there are few powers of two.
    padded = np.zeros(1 << int(lengths.max()).bit_length(), np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    return [row[:length].tobytes() for row, length in zip(_gather(padded), lengths, strict=True)]


def _gather(own: np.ndarray) -> np.ndarray:
    """The array of every process, which all have the same shape: [processes ...]."""
    mesh = data_mesh()
    rows = place_batch(mesh, {"own": np.stack([own] * len(mesh.local_devices))})["own"]
    program = jax.jit(lambda rows: rows, out_shardings=replicated(mesh)).lower(rows).compile()
    # The connections that a first collective needs are waited for only shortly, and another process may still compile.
    client = _client()
    number = client.key_value_increment(f"{PREFIX}/gathers/{jax.process_index()}", 1)
    client.wait_at_barrier(f"{PREFIX}/gather/{number}", LONGEST_WAIT_MS)
    processes = [device.process_index for device in mesh.devices.flat]
    return np.asarray(program(rows))[[processes.index(number) for number in range(jax.process_count())]]


def check_alike(what: str, value: dict[str, Any]) -> None:
    """Refuses to go on where a process has another value than the writer.

    Args:
      what: it is, such as "data".
      value: values for JSON, by their names.

    Raises:
      UserError: in every process; it names the first that differs, its host and the names.
    """
    if jax.process_count() == 1:
        return
    values = [json.loads(content) for content in gathered(json.dumps([socket.gethostname(), value]).encode())]
    (writer_host, wanted), *others = values
    for number, (host, found) in enumerate(others, start=1):
        changed = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
        if changed:
            raise _together(
                f"Process {number} on {host} has other {what} than process 0 on {writer_host} "
                f"({', '.join(sorted(changed))} differ); give every host the same {what}."
            )


def check_shared(folder: Path, name: str) -> None:
    """Refuses a folder that not all processes see, as each must write its part of a checkpoint there.

    Args:
      folder: what the writer has made.
      name: of the flag that gives it.

    Raises:
      UserError: in every process; it names the first that does not see the folder, and its host.
    """
    if jax.process_count() == 1:
        return
    mark = folder / f".seen-by-all-{from_writer(lambda: _touched(folder))}"
    deadline = time.monotonic() + APPEARS_S
    while not (seen := mark.exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    answers = [json.loads(content) for content in gathered(json.dumps([socket.gethostname(), seen]).encode())]
    if is_writer():
        mark.unlink()
    for number, (host, sees) in enumerate(answers):
        if not sees:
            raise _together(
                f"Process {number} on {host} does not see the folder {folder} of process 0; give a {name} on a file "
                "system that all hosts share."
            )


def _touched(folder: Path) -> str:
    token = uuid.uuid4().hex
    (folder / f".seen-by-all-{token}").touch()
    return token


def _together(sentence: str) -> UserError:
    error = UserError(sentence)
    error.together = True
    return error
