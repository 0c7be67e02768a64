"""The cells of a sweep: which runs there are, where each one lies, and whose share it is. Pure functions."""

import dataclasses
import hashlib
import itertools
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

# File systems take names of up to 255 bytes.
LONGEST_NAME = 200


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
      method: `config.algorithm`.
      domain: `config.data.domain`.
      seed: `config.seed`.
      overrides: other fields and their values as they were written, in the order of the fields' names.
    """

    method: str
    domain: str
    seed: int
    overrides: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """METHOD[,FIELD=VALUE...]/DOMAIN/seedS, below the sweep's folder; no two cells have the same."""
        varied = "".join(f",{_quoted(field)}={_quoted(value)}" for field, value in self.overrides)
        return "/".join(
            (_component(_quoted(self.method) + varied), _component(_quoted(self.domain)), f"seed{self.seed}")
        )

    def settings(self) -> dict[str, str]:
        """What makes this cell this cell: values by config field, as they would be written in a command."""
        return dict(self.overrides) | {
            "algorithm": self.method,
            "compare": "()",
            "data.domain": self.domain,
            "seed": str(self.seed),
        }

    def record(self) -> dict[str, Any]:
        """The cell as `sweep.json` has it."""
        return {
            "path": self.path,
            "method": self.method,
            "domain": self.domain,
            "seed": self.seed,
            "overrides": dict(self.overrides),
        }


def _quoted(text: str) -> str:
    """Letters, digits and `_.-~` as they are, everything else as %XX: no two texts become the same."""
    return urllib.parse.quote(text, safe="", errors="surrogateescape")


def _component(name: str) -> str:
    """A quoted name as one component of a path: neither `..` nor hidden nor too long."""
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > LONGEST_NAME:
        # A quoted name has no "+", so that no other name can look like a shortened one.
        name = f"{name[: LONGEST_NAME - 20]}+{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def grid(
    methods: Sequence[str], domains: Sequence[str], seeds: Sequence[int], varied: Mapping[str, Sequence[str]]
) -> list[Cell]:
    """Every combination, the seeds fastest.

    Args:
      methods, domains, seeds: one value or more each.
      varied: values by config field.
    """
    fields = sorted(varied)
    combinations = itertools.product(*(varied[field] for field in fields))
    overrides = [tuple(zip(fields, values, strict=True)) for values in combinations]
    return [
        Cell(method, domain, seed, override)
        for method, override, domain, seed in itertools.product(methods, overrides, domains, seeds)
    ]


def share(cells: Sequence[Cell], worker: int, workers: int) -> list[Cell]:
    """The cells of one of several workers: all workers together have each cell once, whoever asks, and whenever.

    Args:
      cells: the whole grid, the same for all workers.
      worker: from 0 to `workers` - 1.
      workers: how many there are.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} of {workers}")
    return list(cells[worker::workers])


def union(recorded: Sequence[dict[str, Any]], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The cells recorded before, then those that are new."""
    by_path = {record["path"]: record for record in recorded}
    return list((by_path | {cell.path: cell.record() for cell in cells}).values())


def remaining_s(durations: Sequence[float], running: Sequence[float], waiting: int, jobs: int) -> float | None:
    """How long the rest of a sweep will take, or None before a first cell has ended.

    Args:
      durations: of the cells that have ended, in seconds.
      running: for how long each running cell has been, in seconds.
      waiting: how many have not begun.
      jobs: how many run at a time.
    """
    if not durations:
        return None
    usual = sum(durations) / len(durations)
    return (waiting * usual + sum(max(usual - so_far, 0.0) for so_far in running)) / min(
        jobs, max(waiting + len(running), 1)
    )
