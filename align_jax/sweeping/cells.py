"""The cells of a sweep: which runs there are, where each one lies, and which worker runs it. Pure functions."""

import dataclasses
import hashlib
import itertools
import math
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from align_jax.errors import UserError

# In bytes; file systems allow 255.
LONGEST_NAME = 200
# Each is checked, and has a folder.
MOST_CELLS = 100_000


@dataclasses.dataclass(frozen=True)
class SweepCell:
    """One run of a sweep.

    Attributes:
      method: `config.algorithm`.
      domain: `config.data.domain`.
      seed: `config.seed`.
      overrides: other fields with their values as they were written, sorted by field.
    """

    method: str
    domain: str
    seed: int
    overrides: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """METHOD[,FIELD=VALUE...]/DOMAIN/seedS, below the sweep's folder; different for every cell."""
        varied = "".join(f",{_quoted(field)}={_quoted(value)}" for field, value in self.overrides)
        return f"{_component(_quoted(self.method) + varied)}/{_component(_quoted(self.domain))}/seed{self.seed}"

    def settings(self) -> dict[str, str]:
        """The cell's values by config field, as they would be written in a command."""
        return dict(self.overrides) | {
            "algorithm": self.method,
            "compare": "()",
            "data.domain": self.domain,
            "seed": str(self.seed),
        }

    def record(self) -> dict[str, Any]:
        """The cell in `sweep.json`."""
        return {"path": self.path} | dataclasses.asdict(self) | {"overrides": dict(self.overrides)}


def _quoted(text: str) -> str:
    """Letters, digits and `_.-~` stay, everything else becomes %XX: different texts stay different."""
    return urllib.parse.quote(text, safe="", errors="surrogateescape")


def _component(name: str) -> str:
    """A quoted name as one component of a path: not `..`, not hidden, not too long."""
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > LONGEST_NAME:
        # A quoted name has no "+", so no other name can look like a shortened one.
        name = f"{name[: LONGEST_NAME - 20]}+{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def grid(
    methods: Sequence[str], domains: Sequence[str], seeds: Sequence[int], varied: Mapping[str, Sequence[str]]
) -> list[SweepCell]:
    """Every combination, where `varied` has values by config field; the seeds vary fastest.

    Raises:
      UserError: there are more than `MOST_CELLS`.
    """
    count = math.prod(map(len, (methods, domains, seeds, *varied.values())))
    if count > MOST_CELLS:
        raise UserError(f"The sweep has {count} cells; it can have at most {MOST_CELLS}: sweep fewer values.")
    fields = sorted(varied)
    combinations = itertools.product(*(varied[field] for field in fields))
    overrides = [tuple(zip(fields, values, strict=True)) for values in combinations]
    return [
        SweepCell(method, domain, seed, override)
        for method, override, domain, seed in itertools.product(methods, overrides, domains, seeds)
    ]


def share(cells: Sequence[SweepCell], worker: int, workers: int) -> list[SweepCell]:
    """The cells of one of `workers` workers, numbered from 0: the shares of all workers have each cell once."""
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} of {workers}")
    return list(cells[worker::workers])


def remaining_s(durations: Sequence[float], running: Sequence[float], waiting: int, jobs: int) -> float | None:
    """How long the rest of a sweep will take, in seconds, or None before a cell has ended.

    Args:
      durations: the seconds that each ended cell took.
      running: the seconds that each running cell has run so far.
      waiting: the number of cells that have not begun.
      jobs: the number of cells that run at a time.
    """
    if not durations:
        return None
    usual = sum(durations) / len(durations)
    left = waiting * usual + sum(max(usual - so_far, 0.0) for so_far in running)
    return left / min(jobs, max(waiting + len(running), 1))
