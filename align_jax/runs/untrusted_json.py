"""Reads JSON that may come from anywhere: types and ranges are checked, text loses what cannot be printed.

What is wrong is a `UserError` of one sentence that names the file and says that it is left out.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align_jax.errors import UserError

# Larger ones are no summaries; reading them whole would be a favour to nobody.
MOST_BYTES = 16 * 2**20


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """A file's JSON object, of at most `MOST_BYTES`."""
    try:
        # A pipe of that name would be waited for.
        if path.exists() and not path.is_file():
            raise left_out(path, "is no file")
        if path.stat().st_size > MOST_BYTES:
            raise left_out(path, f"is larger than {MOST_BYTES // 2**20} MiB")
        content = json.loads(path.read_bytes())
    except UserError:
        raise
    except OSError as error:
        raise left_out(path, f"cannot be read ({(error.strerror or 'error').lower()})") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise left_out(path, f"is not JSON ({reason})") from error
    if not isinstance(content, dict):
        raise left_out(path, f"holds a JSON {type(content).__name__}, not an object")
    return content


@dataclass(frozen=True)
class Fields:
    """Fields of an untrusted object, each asked for by its type."""

    content: Mapping[str, Any]
    path: pathlib.Path

    def raw(self, key: str, kind: type) -> Any:
        value = self.content.get(key)
        if value is None:
            raise left_out(self.path, f"lacks {key}")
        # JSON's true is an int to Python, and no number to anybody else.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = {str: "text", int: "a whole number", list: "a list"}[kind]
            raise left_out(self.path, f"has {key} = {short(value)}, which is not {wanted}")
        return value

    def text(self, key: str) -> str:
        text = printable(self.raw(key, str))
        if not text:
            raise left_out(self.path, f"has an empty {key}")
        return text

    def whole(self, key: str) -> int:
        return self.raw(key, int)

    def whole_or_none(self, key: str) -> int | None:
        return None if self.content.get(key) is None else self.whole(key)

    def items(self, key: str, kind: type) -> list[Any]:
        items = self.raw(key, list)
        if not all(isinstance(item, kind) for item in items):
            raise left_out(self.path, f"has {key} = {short(items)}, with an entry of the wrong type")
        return items


def number(content: Mapping[str, Any], key: str, path: pathlib.Path, share: bool) -> float | None:
    """A finite value, of a share in [0, 1]; None where it is absent, null or not finite."""
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise left_out(path, f"has {key} = {short(value)}, which is no number")
    try:
        finite = float(value)
    except OverflowError:
        return None
    if not math.isfinite(finite):
        return None
    if share and not 0 <= finite <= 1:
        raise left_out(path, f"has {key} = {finite:g}, which is no share between 0 and 1")
    return finite


def left_out(path: pathlib.Path, what: str) -> UserError:
    """The error that says what is wrong with a file: `what` goes on from its name."""
    return UserError(printable(f"{path} {what}: left out."))


def printable(text: str) -> str:
    """One line without control characters, lone surrogates or marks that turn the direction of writing."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "�" for c in text).split())


def short(value: Any) -> str:
    """A value as a sentence shows it."""
    # repr of something nested a thousand deep has no end.
    text = f"a {type(value).__name__}" if isinstance(value, dict | list) else printable(repr(value))
    return text if len(text) <= 60 else f"{text[:59]}…"
