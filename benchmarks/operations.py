"""Where the time of an update goes: a trace of it, summed by kind of operation.

    python -m benchmarks.operations --settings=resnet50:224:4 --updates=ERM

A kind is read off the compiled program: convolutions and matmuls (a convolution may be made of matmuls), sums and
maxima, copies in another order, and all other passes over arrays. Operations that run at the same time share the cores.
So the shares are of the sum of all operations, which can be more than the time that an update takes.
"""

import argparse
import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Mapping

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.runtime.allocator import keep_freed_memory
from benchmarks.four_updates import UPDATES, FourUpdates
from benchmarks.updates import SETTINGS, Row, Setting

# The first kind whose operations a fused computation has is its kind.
KINDS: Mapping[str, frozenset[str]] = {
    "convolutions": frozenset({"convolution"}),
    "matmuls": frozenset({"dot"}),
    "sums and maxima": frozenset({"reduce", "reduce-window"}),
    "copies in another order": frozenset({"transpose", "copy"}),
}
OTHER = "other passes"
# Their time is that of the operations inside of them, which a trace has, too.
CONTAINERS = frozenset({"while", "call", "conditional"})
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (?:\([^()]*\)|\S+) ([\w-]+)\(")
_CALLED = re.compile(r"calls=%?([\w.-]+)")


def kinds_of(program: str) -> dict[str, str]:
    """The kind of each operation in a compiled program's text, by name; `CONTAINERS` are left out."""
    inside: dict[str, set[str]] = {}
    called: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    computation = ""
    for line in program.splitlines():
        if head := _COMPUTATION.match(line):
            computation = head[1]
        elif (operation := _OPERATION.match(line)) and operation[2] not in CONTAINERS:
            name, kind = operation.groups()
            inside.setdefault(computation, set()).add(kind)
            found[name] = {kind}
            if call := _CALLED.search(line):
                called[name] = call[1]
    for name, computation in called.items():
        found[name] |= inside.get(computation, set())
    return {
        name: next((kind for kind, members in KINDS.items() if members & operations), OTHER)
        for name, operations in found.items()
    }


def traced(row: Row, repeats: int) -> dict[str, float]:
    """Milliseconds of an update by kind of operation, from a trace of `repeats` updates.

    Raises:
      UserError: the trace names no operation of the program.
    """
    kinds, total = kinds_of(row.text()), Counter[str]()
    row.turn()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(repeats):
                row.turn()
        for path in pathlib.Path(folder).rglob("*.xplane.pb"):
            for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
                for line in plane.lines:
                    for event in line.events:
                        kind = kinds.get(str(dict(event.stats).get("hlo_op")))
                        if kind is not None:
                            total[kind] += event.duration_ns / 1e6 / repeats
    if not total:
        raise UserError(f"The trace names no operation on {jax.devices()[0].platform}; use JAX_PLATFORMS=cpu.")
    return dict(total)


def measure(settings: list[Setting], names: list[str], repeats: int) -> None:
    """Prints the table."""
    kinds = [*KINDS, OTHER]
    print(f"{jax.devices()[0].device_kind}, float32, {repeats} updates\n")
    print(f"| | update | ms | sum of its operations, ms | {' | '.join(f'{kind}, %' for kind in kinds)} |")
    print("|" + "---|" * (4 + len(kinds)), flush=True)
    for setting in settings:
        updates = FourUpdates(setting.network)
        first = jax.jit(lambda updates=updates, at=setting: updates.first(at.size, at.batch))()
        for name in names:
            stop_if_asked("the rows before this one are whole.")
            row = Row(setting, name, updates.by_name[name], first)
            by_kind = traced(row, repeats)
            fastest, total = min(row.turn() for _ in range(repeats)), sum(by_kind.values())
            shares = " | ".join(f"{100 * by_kind.get(kind, 0.0) / total:.0f}" for kind in kinds)
            print(f"| {setting} | {name} | {1000 * fastest:.0f} | {total:.0f} | {shares} |", flush=True)


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="NETWORK:PIXELS:IMAGES ...")
    parser.add_argument("--updates", nargs="+", choices=UPDATES, default=UPDATES)
    parser.add_argument("--repeats", type=int, default=5, help="updates in a trace")
    arguments = parser.parse_args()

    def run() -> None:
        if arguments.repeats < 1:
            raise UserError("--repeats must be at least 1.")
        keep_freed_memory()
        jax.config.update("jax_enable_compilation_cache", False)  # a program from the cache has other names
        with stop_request("ending after this row"):
            measure([Setting.parsed(text) for text in arguments.settings], arguments.updates, arguments.repeats)

    return exit_status(run, on_os_error="is there room?", on_interrupt="the rows above are whole.")


if __name__ == "__main__":
    raise SystemExit(main())
