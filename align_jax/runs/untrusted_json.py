"""Reads JSON that may come from anywhere: types and ranges are checked, text loses what cannot be printed.

No other file opens a run's JSON. What is wrong is a `BrokenFile`: one sentence with file, fault and remedy.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from align_jax.errors import UserError, one_line
from align_jax.tables.table import shortened

# A larger file is not a summary, and is not worth reading whole.
MOST_BYTES = 16 * 2**20
# Counts and seeds have no more digits, and a larger number may not fit into a float.
MOST_INTEGER = 2**63
# How far a share may lie outside [0, 1]: means of float32 numbers do, by a rounding.
ROUNDING = 1e-6

KINDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


class BrokenFile(UserError):
    """A file of a run that is missing, damaged or foreign: the file, what is wrong with it, and what to do.

    Attributes:
      problem: the sentence without what to do, for a reader who goes on without the file.
    """

    def __init__(self, path: pathlib.Path, problem: str, *, line: int = 0, remedy: str = "") -> None:
        """Begins the sentence with the file, and the `line` if there is one; `problem` goes on from there."""
        if line:
            remedy = "delete that line, then make the report again"
        elif not remedy and path.name == "summary.json":
            remedy = "the same training command writes it again from the last checkpoint"
            remedy = f"delete it, and {remedy}" if path.exists() else remedy
        self.problem = printable(f"{path}, line {line}, {problem}" if line else f"{path} {problem}")
        super().__init__(f"{self.problem}; {remedy or 'put back what was there, or train again in another folder'}.")


@dataclass(frozen=True)
class Fields:
    """Fields of an untrusted object, which are read by their type; `line` is the object's line in a file of many."""

    content: Mapping[str, Any]
    path: pathlib.Path
    line: int = 0

    def broken(self, problem: str) -> BrokenFile:
        return BrokenFile(self.path, problem, line=self.line)

    def optional(self, key: str, kind: type) -> Any:
        """The value as it is in the file; None where it is absent or null."""
        value = self.content.get(key)
        # For Python, but for nobody else, JSON's true is an int.
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise self.broken(f"has {shortened(key)} = {short(value)}, which is not {KINDS[kind]}")
        if kind is int and isinstance(value, int) and abs(value) > MOST_INTEGER:
            raise self.broken(f"has {shortened(key)} = {short(value)}, which is too large")
        return value

    def required(self, key: str, kind: type) -> Any:
        value = self.optional(key, kind)
        if value is None:
            raise self.broken(f"lacks {shortened(key)}")
        return value

    def text(self, key: str) -> str:
        text = printable(self.required(key, str))
        if not text:
            raise self.broken(f"has an empty {key}")
        return text

    def optional_text(self, key: str) -> str:
        return printable(self.optional(key, str) or "")

    def number(self, key: str, *, share: bool = False) -> float | None:
        """A finite value, of a share in [0, 1]; None where it is absent, null or not finite."""
        value = self.content.get(key)
        number = as_float(value)
        if value is not None and number is None:
            raise self.broken(f"has {shortened(key)} = {short(value)}, which is not a number")
        if number is None or not math.isfinite(number):
            return None
        if share and not -ROUNDING <= number <= 1 + ROUNDING:
            raise self.broken(f"has {shortened(key)} = {number:g}, which is not a share between 0 and 1")
        return number

    def numbers(self, keys: Iterable[str], is_share: Callable[[str], bool]) -> tuple[dict[str, float], tuple[str, ...]]:
        """The finite values of several fields, and the names of the fields with another value."""
        values = {key: self.number(key, share=is_share(key)) for key in keys if self.content[key] is not None}
        finite = {printable(key): value for key, value in values.items() if value is not None}
        return finite, tuple(printable(key) for key, value in values.items() if value is None)

    def items(self, key: str, kind: type) -> list[Any]:
        items = self.required(key, list)
        if not all(isinstance(item, kind) for item in items):
            raise self.broken(f"has {key} = {short(items)}, with an entry of the wrong type")
        return items

    def names(self, key: str) -> tuple[str, ...]:
        """One name or more, as they were written; no two of them look alike."""
        names = self.items(key, str)
        if not names or len(set(map(printable, names))) < len(names):
            raise self.broken(f"has no {key}, or one of them twice")
        return tuple(names)

    def object(self, key: str) -> "Fields":
        """The fields of an object in this one; there are none where it is absent or null."""
        return Fields(self.optional(key, dict) or {}, self.path, self.line)


def read_object(path: pathlib.Path) -> Fields:
    """A file's JSON object, of at most `MOST_BYTES`; a `BrokenFile` is raised where there is none."""
    return parse_object(read_bytes(path, MOST_BYTES), path)


def parse_object(content: bytes, path: pathlib.Path, line: int = 0) -> Fields:
    """The JSON object that a file, or one of its lines, consists of; else a `BrokenFile` is raised."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(path, f"is not JSON ({reason(error)})", line=line) from error
    if not isinstance(parsed, dict):
        raise BrokenFile(path, f"holds a JSON {type(parsed).__name__}, not an object", line=line)
    return Fields(parsed, path, line)


def read_bytes(path: pathlib.Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes; else a `BrokenFile` is raised."""
    try:
        # Reading a pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        if path.stat().st_size > most:
            raise ValueError(f"it is larger than {most // 2**20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise BrokenFile(path, f"cannot be read ({reason(error)})") from error


def as_float(value: Any) -> float | None:
    """A JSON number, infinite where it is too large; None where the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, float | int):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def printable(text: str) -> str:
    """Text on one line, as `errors.one_line`, with single blanks between its words."""
    return " ".join(one_line(text).split())


def short(value: Any) -> str:
    """A value as a sentence shows it."""
    # repr of something nested a thousand deep has no end.
    text = f"a {type(value).__name__}" if isinstance(value, dict | list) else printable(repr(value))
    return shortened(text, 60)
