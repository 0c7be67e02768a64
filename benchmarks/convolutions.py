"""What each form of each convolution of the shipped networks takes; the rule of `models/convolution.py` is made of it.

    python -m benchmarks.convolutions --json=convolutions.json

Each shape has three products: the output, and the gradients of the input and of the kernel. For each product the forms
take turns, and a time is the fastest turn. The row names the form that the rule chooses, and how long it takes beside
XLA's own. On other platforms than CPUs the rule is not used.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.models.convolution import convolution_p, form_of
from align_jax.models.convolution_forms import FORMS, Geometry
from align_jax.models.masker import EncoderDecoder
from align_jax.models.resnet import RESNETS, resnet
from align_jax.runtime.allocator import keep_freed_memory

SETTINGS = (
    *("resnet_small:64:48", "resnet18:64:32", "resnet18:128:16", "resnet50:224:4"),
    *("masker:64:48", "masker:128:16", "masker:224:4"),
)
PRODUCTS = ("output", "input", "kernel")
# After the first turn a form that takes this many times as long as the fastest is out.
HOPELESS = 4
Shape = tuple[tuple[int, ...], tuple[int, ...], Geometry]


def shapes_of(text: str) -> Iterator[Shape]:
    """The shapes of x and w, and the geometry, of each convolution of NETWORK:PIXELS:IMAGES, in order."""
    name, *numbers = text.split(":")
    if name not in (*RESNETS, "masker") or len(numbers) != 2 or not all(n.isdecimal() and int(n) > 0 for n in numbers):
        raise UserError(
            f"--settings: {text!r} is not NETWORK:PIXELS:IMAGES, such as resnet18:64:32; "
            f"networks are {', '.join(RESNETS)} and masker."
        )
    size, batch = map(int, numbers)
    module: nn.Module = EncoderDecoder() if name == "masker" else resnet(name, 5)
    image = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(image.shape), False))
    program = jax.make_jaxpr(lambda variables, image: module.apply(variables, image, False))(variables, image)
    yield from _convolutions(program.jaxpr)


def _convolutions(jaxpr: Any) -> Iterator[Shape]:
    for equation in jaxpr.eqns:
        if equation.primitive is convolution_p:
            x, w = (variable.aval.shape for variable in equation.invars)
            yield x, w, equation.params["geometry"]
        for inner in jaxprs_in_params(equation.params):
            yield from _convolutions(inner)


class Row:
    """One product of one shape: its forms, compiled, and the fastest turn of each."""

    def __init__(self, product: str, shape: Shape, dtype: str, uses: int) -> None:
        self.product, self.uses = product, uses
        self._shape = shape
        x, w, geometry = shape
        shapes = {"x": x, "w": w, "g": (x[0], *geometry.output, w[3])}
        factors = [shapes[name] for name in {"output": "xw", "input": "gw", "kernel": "xg"}[product]]
        self._factors = [jnp.asarray(np.random.default_rng(0).normal(size=each), dtype) for each in factors]
        self.chosen = form_of(product, *factors, geometry)
        self._programs = {
            name: jax.jit(lambda a, b, form=form: form(product, a, b, geometry)).lower(*self._factors).compile()
            for name, form in FORMS.items()
        }
        self.ms = dict.fromkeys(FORMS, float("inf"))
        self.flops = 2 * x[0] * np.prod(geometry.output) * np.prod(w)

    def turn(self) -> None:
        """Each form twice: after another program the first finds nothing in the caches."""
        for name, program in self._programs.items():
            if self.ms[name] < float("inf") and self.ms[name] > HOPELESS * min(self.ms.values()):
                continue
            for _ in range(2):
                began = time.perf_counter()
                jax.block_until_ready(program(*self._factors))
                self.ms[name] = min(self.ms[name], 1000 * (time.perf_counter() - began))

    def found(self) -> dict[str, Any]:
        """What was measured, by name."""
        x, w, geometry = self._shape
        return {"x": x, "w": w, **geometry._asdict(), "product": self.product, "uses": self.uses} | {
            "ms": self.ms,
            "chosen": self.chosen,
            "gflop_per_s": self.flops / self.ms[self.chosen] / 1e6,
            "speed_over_native": self.ms["native"] / self.ms[self.chosen],
        }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    heads = ["x", "w", "stride", "product", *(f"{name}, ms" for name in FORMS), "chosen", "GFLOP/s", "native / chosen"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        x, w = (" x ".join(map(str, row[name])) for name in "xw")
        times = " | ".join(f"{ms:.2f}" for ms in row["ms"].values())
        rest = f"{row['chosen']} | {row['gflop_per_s']:.0f} | {row['speed_over_native']:.2f}"
        lines.append(f"| {x} | {w} | {row['strides'][0]} | {row['product']} | {times} | {rest} |")
    return "\n".join(lines)


def measure(settings: list[str], dtype: str, turns: int, path: pathlib.Path | None) -> None:
    """Prints the table, and writes it as JSON."""
    counted: dict[Shape, int] = {}
    for text in settings:
        for shape in shapes_of(text):
            counted[shape] = counted.get(shape, 0) + 1
    rows = []
    for shape, uses in counted.items():
        stop_if_asked("nothing is left.")
        rows += [Row(product, shape, dtype, uses) for product in PRODUCTS]
    for _ in range(turns):
        for row in rows:
            stop_if_asked("nothing is left.")
            row.turn()
    found = [row.found() for row in rows]
    print(f"{jax.devices()[0].device_kind}, {dtype}, {turns} turns\n\n{table(found)}")
    if path:
        path.write_text(json.dumps({"device": jax.devices()[0].device_kind, "dtype": dtype, "rows": found}) + "\n")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="NETWORK:PIXELS:IMAGES ...")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="where to write the numbers")
    arguments = parser.parse_args()

    def run() -> None:
        if arguments.turns < 1:
            raise UserError("--turns must be at least 1.")
        keep_freed_memory()
        with stop_request("ending after this row"):
            measure(arguments.settings, arguments.dtype, arguments.turns, arguments.json)

    return exit_status(run, on_os_error="is there room?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    raise SystemExit(main())
