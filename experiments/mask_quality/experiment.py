"""Are bad masks worse than none? Guidance by masks of falling quality, compared with learned masks and with no masks.

`launch/mask_quality.py` trains one run for each quality and seed as a sweep does (complete runs are not repeated,
stopped runs go on), and writes WORKDIR/mask_quality.csv, one row per run, and the figure, WORKDIR/mask_quality.svg and
.png. DRE and ERM are the methods without masks. `--method=background_swap` cuts objects out with the masks, in place of
guiding Grad-CAM by them.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from align_jax.cli import train
from align_jax.cli.arguments import answer_help
from align_jax.cli.exit_status import SMALLER_BATCHES, exit_status
from align_jax.cli.sweep import check_cells, parse
from align_jax.errors import UserError, one_line, shown
from align_jax.runs.read import read_run
from align_jax.runtime.files import write_atomically
from align_jax.sweeping.cells import SweepCell
from align_jax.sweeping.sweep import Sweep, complete_sweep
from align_jax.tables.markdown import markdown
from experiments.mask_quality.tables import LEARNED, UNGUIDED, as_csv, row, table

if TYPE_CHECKING:
    from align_jax.data.domains import Source

USAGE = (
    "python launch/mask_quality.py --workdir=DIR [--seeds=0,1] [--method=align] [--config=configs/quickstart.py] "
    "[--config.FIELD=VALUE ...] [--jobs=N]"
)
FLAGS = ("config", "workdir", "seeds", "jobs", "method")
# The fields that given masks need beside the guidance, by method: composites are of use from the first step.
METHODS: dict[str, dict[str, str]] = {
    "align": {},
    "background_swap": {"schedule.warmup": "0.0", "background_swap.mistakes": "1"},
}
# The fields that differ between cells, and so cannot be set for all of them.
VARIED = ("algorithm", "compare", "guidance", "data.mask_quality")


def conditions(method: str) -> dict[str, tuple[str, dict[str, str]]]:
    """The compared conditions of a method: their (algorithm, other config fields) by name."""
    from align_jax.data.degraded_masks import QUALITIES

    guided = {
        quality: (method, {"guidance": "true", "data.mask_quality": quality} | METHODS[method]) for quality in QUALITIES
    }
    unguided: dict[str, tuple[str, dict[str, str]]] = {name: (name, {}) for name in UNGUIDED}
    return guided | {LEARNED: (method, {"guidance": "learned"})} | unguided


def cells(domain: str, seeds: Sequence[int], method: str = "align") -> dict[SweepCell, str]:
    """Each cell's condition; all cells of a seed come before the next seed."""
    return {
        SweepCell(algorithm, domain, seed, tuple(sorted(fields.items()))): name
        for seed in seeds
        for name, (algorithm, fields) in conditions(method).items()
    }


def main(arguments: Sequence[str], *, config: str, program: Sequence[str]) -> int:
    """Runs `launch/mask_quality.py`.

    Args:
      arguments: as `sys.argv`.
      config: the config file, if --config is not given.
      program: the command that trains a cell, given the flags of `launch/main.py`.

    Returns:
      The exit status: 0, 1 when a cell failed, 2 for a user's mistake, 130 or 143 when asked to stop.
    """

    def run() -> int:
        sweep, named, method = plan(arguments, config)
        again = shlex.join(["python", *arguments])
        if not complete_sweep(sweep, program, title="mask quality", again=again):
            return 1
        print(report(sweep, named, method))
        return 0

    return exit_status(
        run,
        on_os_error="can --workdir be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
        on_memory_error=SMALLER_BATCHES,
    )


def plan(arguments: Sequence[str], config: str) -> tuple[Sweep, dict[SweepCell, str], str]:
    """The sweep that a command asks for, checked, the condition of each of its cells, and the method.

    Args:
      arguments: as `sys.argv`.
      config: the config file, if --config is not given.

    Raises:
      UserError: as `cli.sweep.parse`; or a flag or field that this experiment sets itself.
    """
    answer_help(arguments, USAGE)
    methods = [argument.partition("=")[2] for argument in arguments[1:] if argument.startswith("--method=")]
    method = methods[-1] if methods else "align"
    if method not in METHODS or "--method" in arguments:
        raise UserError(f"--method is {shown(method)}; write --method=NAME with one of {', '.join(METHODS)}.")
    given = [argument.lstrip("-").partition("=")[0] for argument in arguments[1:] if argument.startswith("-")]
    for name in given:
        if name in (f"config.{field}" for field in (*VARIED, *METHODS[method])):
            raise UserError(f"--{name} is varied by the experiment; leave it out.")
        if name not in FLAGS and not name.startswith("config."):
            raise UserError(f"--{name} is not a flag of this program; write {USAGE}.")
    own = [f"--methods={method}"]
    if "config" not in given:
        own.append(f"--config={config}")
    if "seeds" not in given and "config.seed" not in given:
        own.append("--seeds=0,1")
    others = [argument for argument in arguments if not argument.startswith("--method=")]
    sweep = parse([*others, *own])
    named = cells(sweep.cells[0].domain, [cell.seed for cell in sweep.cells], method)
    sweep = dataclasses.replace(sweep, cells=tuple(named))
    check_cells(sweep)
    return sweep, named, method


def report(sweep: Sweep, named: Mapping[SweepCell, str], method: str) -> str:
    """Writes mask_quality.csv, .svg and .png from complete cells; returns the table as Markdown and the paths."""
    # Imported late: they take seconds to import, and a mistyped flag should be refused at once.
    from align_jax.data.degraded_masks import QUALITIES
    from align_jax.data.load import load
    from align_jax.reporting.names import method_name
    from experiments.mask_quality.figure import draw, png, svg

    config, _ = train.parse(["main.py", *sweep.flags(next(iter(named)))])
    images = load(config.data).train
    ious = mask_ious(images, tuple(QUALITIES), config.data.image_size)
    measured = [
        row(name, cell.seed, ious.get(name), read_run(sweep.workdir / cell.path).results)
        for cell, name in named.items()
    ]
    write_atomically(sweep.workdir / "mask_quality.csv", as_csv(measured).encode())
    figure = draw(measured, method_name(method))
    write_atomically(sweep.workdir / "mask_quality.svg", svg(figure))
    write_atomically(sweep.workdir / "mask_quality.png", png(figure))
    written = ", ".join(str(sweep.workdir / f"mask_quality.{kind}") for kind in ("csv", "svg", "png"))
    return f"{markdown(table(measured, method_name(method)))}\n\nWritten: {one_line(written)}"


def mask_ious(sources: "Mapping[str, Source]", qualities: Sequence[str], size: int) -> dict[str, float]:
    """The mean IoU of each quality with the true masks, over all images of the sources.

    Args:
      sources: with true masks.
      qualities: of `data.degraded_masks.QUALITIES`.
      size: side of the images that training sees, in pixels; both masks are binarised (> 0.5) at that size.
    """
    import jax.numpy as jnp

    from align_jax.data.augment import resample
    from align_jax.data.degraded_masks import degraded
    from align_jax.evaluation.metrics import mean_where_defined
    from align_jax.explanations.localisation import mask_iou

    examples = (source[index] for source in sources.values() for index in range(len(source)))
    # Keeps the masks alone: the images need not be in memory.
    masks = [(example["mask"], example["id"]) for example in examples]
    true = np.stack([resample(mask, size)[..., 0] > 127 for mask, _ in masks])
    means = {}
    for quality in qualities:
        worse = np.stack([resample(degraded(mask, quality, name), size)[..., 0] > 127 for mask, name in masks])
        means[quality], _ = mean_where_defined(np.asarray(mask_iou(jnp.asarray(worse), jnp.asarray(true))))
    return means
