"""A process with another framework, which runs one named row at a time and says how long that took."""

import pathlib
import subprocess
from collections.abc import Sequence

from align_jax.errors import UserError


class Peer:
    """It prints its rows' names, with tabs between them; then it reads a name a line, and answers with seconds.

    Args:
      python: what `--peer-python` named.
      program: the file that it runs.
      arguments: the program's.
      needs: what the Python must have, in words, for errors.

    Raises:
      UserError: the Python cannot be run, or the program ends before it has named its rows.
    """

    def __init__(self, python: str, program: pathlib.Path, arguments: Sequence[str], needs: str) -> None:
        self._program, self._needs = program.name, needs
        command = [python, str(program), *arguments]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            raise UserError(f"--peer-python {python} cannot be run ({error.strerror}).") from error
        self.names = self._answer().split("\t")

    def seconds(self, name: str) -> float:
        """Runs a row once."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
            return float(self._answer())
        except (BrokenPipeError, ValueError) as error:
            raise UserError(f"{self._program} ended or said something else than seconds at {name!r}.") from error

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise UserError(f"{self._program} ended early; does --peer-python have {self._needs}?")
        return line.rstrip("\n")
