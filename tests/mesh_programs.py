"""The updates of a run, compiled for a mesh of devices, and what these send each other."""

import math
import re
from collections import defaultdict
from typing import NamedTuple

import jax
import optax

from align_jax.runtime.sharding import compile_step, replicated, split_by_example
from align_jax.training.method import Method
from align_jax.training.phases import rounds_phase, warmup_phase
from tests.small_networks import SIZE, small_method, small_state, small_states, small_updates

BATCH = 16
IMAGES = BATCH * SIZE * SIZE * 3  # in uint8
LABELS = BATCH * 4
MAPS = BATCH * (SIZE // 4) ** 2 * 4
# BatchNorm's statistics, forward and backward, and the metrics.
STATISTICS = 300

BYTES = {"pred": 1, "u8": 1, "s32": 4, "u32": 4, "f32": 4, "bf16": 2}
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|ragged-all-to-all|collective-broadcast"


class Sent(NamedTuple):
    """What one operation brings to each device: its kind, its dtypes, its size, and whether it is part of a loop."""

    kind: str
    dtypes: frozenset
    size: int
    in_a_loop: bool


def sent(text):
    """The operations of a compiled program that send something between devices; parts of one operation are one."""
    computation, lines = "", defaultdict(list)
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%?([\w.-]+) \(.*\{$", line):
            computation = header[1]
        lines[computation].append(line)
    calls = {
        name: set(re.findall(r"(?:calls|to_apply|body|condition)=%?([\w.-]+)", "\n".join(of_name)))
        for name, of_name in lines.items()
    }
    loops = set(re.findall(r"(?:body|condition)=%?([\w.-]+)", text))
    while new := {called for name in loops for called in calls.get(name, ())} - loops:
        loops |= new
    found = {}
    for name, of_name in lines.items():
        for line in of_name:
            if operation := re.search(rf"= (.*?) ({KINDS})(?:-start)?\(.*channel_id=(\d+)", line):
                shapes = re.findall(r"(\w+)\[([\d,]*)\]", operation[1])
                size = sum(BYTES[dtype] * math.prod(map(int, filter(None, dims.split(",")))) for dtype, dims in shapes)
                dtypes = frozenset(dtype for dtype, _ in shapes)
                found[operation[3]] = Sent(operation[2], dtypes, size, name in loops)
    return list(found.values())


def size(tree):
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def updates():
    """By name: a phase of one kind of update alone, its states, and the parameters that it changes."""
    classifier, masker = small_updates(optimizer=optax.adam(1e-3))
    align = Method(classifier, classifier, masker, None, lambda step: 1e-3)
    states = jax.eval_shape(lambda: small_states(classifier, masker))
    found = {
        "masker": (rounds_phase(align, 1, 0), states, states[1].params),
        "align": (rounds_phase(align, 0, 1), states, states[0].params),
    }
    for name in ("erm", "dre"):
        update = small_method(name)
        state = jax.eval_shape(lambda update=update: small_state(update))
        found[name] = warmup_phase(Method(update, update, None, None, lambda step: 1e-3)), (state, None), state.params
    return found


def compiled(phase, states, mesh):
    """A phase's program for the devices of a mesh, from shapes alone."""

    def on(sharding, tree):
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    fields = {"image": ((BATCH, SIZE, SIZE, 3), "uint8"), "label": ((BATCH,), "int32"), "domain": ((BATCH,), "int32")}
    batch = {name: jax.ShapeDtypeStruct(*field) for name, field in fields.items()}
    key = jax.eval_shape(lambda: jax.random.key(0))
    inputs = on(replicated(mesh), states), (on(split_by_example(mesh), batch),), on(replicated(mesh), key)
    return compile_step(phase.advance, mesh, donated=(0,)).lower(*inputs).compile()


def check(mesh, names, passes_apart):
    """Checks what the updates with these names send.

    Args:
      mesh: the devices that they are compiled for.
      names: of `updates`.
      passes_apart: whether the gradients of several passes through a network are summed over the devices one by one.
    """
    for name, (phase, states, params) in updates().items():
        if name not in names:
            continue
        program = compiled(phase, states, mesh)
        operations, gradient = sent(program.as_text()), size(params)
        assert operations, name
        assert not [each for each in operations if each.in_a_loop], name
        assert {each.kind for each in operations} <= {"all-reduce", "all-gather"}, name
        reduced = [each.size for each in operations if each.kind == "all-reduce"]
        gathered = [each for each in operations if each.kind == "all-gather"]
        mixes = name in ("dre", "align")
        # One group of about the size of the parameters (BatchNorm's own may go with its sums); the rest is small.
        assert sum(each >= 0.9 * gradient for each in reduced) == 1, (name, gradient, reduced)
        assert sum(reduced) >= gradient, (name, gradient, reduced)
        most = gradient * (2.2 if mixes and passes_apart else 1.0) + STATISTICS
        assert sum(reduced) <= most + mixes * (2 * MAPS + 4 * LABELS), (name, gradient, reduced)
        # Mixup needs the images of other devices, as they are stored, and the labels and maps of the whole batch.
        images = [each for each in gathered if each.size >= IMAGES]
        assert [(each.dtypes, each.size) for each in images] == mixes * [({"u8"}, IMAGES)], (name, gathered)
        rest = sum(each.size for each in gathered) - mixes * IMAGES
        assert rest <= mixes * (2 * MAPS + 4 * LABELS), (name, gathered)
        check_donation(program, states)


def check_donation(program, states):
    """The new states lie where the old ones were: every array, and no byte more or less."""
    text = program.as_text()
    start = text.index("input_output_alias={") + len("input_output_alias={")
    aliases = re.findall(r"\{[\d, ]*\}: \((\d+), \{\}", text[start : text.index("entry_computation_layout", start)])
    assert sorted(map(int, aliases)) == list(range(len(jax.tree.leaves(states))))
    assert program.memory_analysis().alias_size_in_bytes >= size(states)
