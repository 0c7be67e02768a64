"""The theory as an experiment: guidance by masks of falling quality, with ALIGN's learned masks and no masks beside it.

`launch/mask_quality.py` trains one cell a quality and seed with the machinery of a sweep (what is complete is not
repeated, what was stopped goes on), and writes WORKDIR/mask_quality.csv, one row a run, and the figure,
WORKDIR/mask_quality.svg and .png. It can show that bad masks are worse than none (DRE and ERM), or fail to show it.
"""

import csv
import dataclasses
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from align_jax.cli import train
from align_jax.cli.arguments import answer_help
from align_jax.cli.exit_status import exit_status
from align_jax.cli.sweep import check_cells, parse
from align_jax.errors import UserError
from align_jax.runs.folder import read_summary
from align_jax.runtime.files import write_atomically
from align_jax.sweeping.cells import Cell
from align_jax.sweeping.sweep import Sweep, complete_sweep

if TYPE_CHECKING:
    from align_jax.data.domains import Source

USAGE = (
    "python launch/mask_quality.py --workdir=DIR [--seeds=0,1] [--config=configs/quickstart.py] "
    "[--config.FIELD=VALUE ...] [--jobs=N]"
)
FLAGS = ("config", "workdir", "seeds", "jobs")
# What tells the cells apart, and is therefore not to be set for all of them.
VARIED = ("algorithm", "compare", "guidance", "data.mask_quality")

# Conditions that are no quality of the true masks.
LEARNED = "learned"
# Without masks: ALIGN less the guidance, which is DRE and shows what guidance alone changes; and cross-entropy alone.
UNGUIDED = ("dre", "erm")
ROLES = ("id", "background_shift", "ood")
METRICS = ("accuracy", "cam_energy")
COLUMNS = ("condition", "seed", "mask_iou", *(f"{metric}_{role}" for metric in METRICS for role in ROLES))


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run's row.

    Attributes:
      condition: a quality of the true masks, `LEARNED` or one of `UNGUIDED`.
      seed: the run's.
      mask_iou: of the masks that guided; None without any. Qualities: the mean over the training images. Learned
        masks: over the test images of the training domains, where the run measured them.
      scores: METRIC_ROLE, means over the role's domains; what does not apply is absent.
    """

    condition: str
    seed: int
    mask_iou: float | None
    scores: Mapping[str, float]


def conditions() -> dict[str, tuple[str, dict[str, str]]]:
    """What is compared, as (algorithm, other config fields), by the condition's name."""
    from align_jax.data.degraded_masks import QUALITIES

    guided = {quality: ("align", {"guidance": "true", "data.mask_quality": quality}) for quality in QUALITIES}
    unguided: dict[str, tuple[str, dict[str, str]]] = {name: (name, {}) for name in UNGUIDED}
    return guided | {LEARNED: ("align", {"guidance": "learned"})} | unguided


def cells(domain: str, seeds: Sequence[int]) -> dict[Cell, str]:
    """Each cell's condition, all of a seed before the next one."""
    return {
        Cell(algorithm, domain, seed, tuple(sorted(fields.items()))): name
        for seed in seeds
        for name, (algorithm, fields) in conditions().items()
    }


def main(arguments: Sequence[str], *, config: str, program: Sequence[str]) -> int:
    """Runs `launch/mask_quality.py`.

    Args:
      arguments: as `sys.argv`.
      config: the config file where --config is not given.
      program: what runs a cell, given `launch/main.py`'s flags.

    Returns:
      The exit status: 0, 1 when a cell failed, 2 for a user's mistake, 130 or 143 when asked to stop.
    """

    def run() -> int:
        sweep, named = plan(arguments, config)
        again = shlex.join(["python", *arguments])
        if not complete_sweep(sweep, program, title="mask quality", again=again):
            return 1
        print(report(sweep, named))
        return 0

    return exit_status(
        run,
        on_os_error="can --workdir be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
    )


def plan(arguments: Sequence[str], config: str) -> tuple[Sweep, dict[Cell, str]]:
    """The sweep that a command asks for, and the condition of each of its cells, all of them checked.

    Args:
      arguments: as `sys.argv`.
      config: the config file where --config is not given.

    Raises:
      UserError: as `sweeping.command_line.parse`; or a flag or field that this experiment sets itself.
    """
    answer_help(arguments, USAGE)
    given = [argument.lstrip("-").partition("=")[0] for argument in arguments[1:] if argument.startswith("-")]
    for name in given:
        if name in (f"config.{field}" for field in VARIED):
            raise UserError(f"--{name} is what the experiment varies; leave it out.")
        if name not in FLAGS and not name.startswith("config."):
            raise UserError(f"--{name} is no flag of this program; write {USAGE}.")
    own = ["--methods=align"]
    if "config" not in given:
        own.append(f"--config={config}")
    if "seeds" not in given and "config.seed" not in given:
        own.append("--seeds=0,1")
    sweep = parse([*arguments, *own])
    named = cells(sweep.cells[0].domain, [cell.seed for cell in sweep.cells])
    sweep = dataclasses.replace(sweep, cells=tuple(named))
    check_cells(sweep)
    return sweep, named


def report(sweep: Sweep, named: Mapping[Cell, str]) -> str:
    """Writes mask_quality.csv, .svg and .png from complete cells; the table as Markdown, and where the files are."""
    # Imported late: they take seconds, and a mistyped flag should not cost them.
    from align_jax.data.degraded_masks import QUALITIES
    from align_jax.data.load import load
    from experiments.mask_quality.figure import draw, png, svg

    config, _ = train.parse(["main.py", *sweep.flags(next(iter(named)))])
    images = load(config.data).train
    ious = mask_ious(images, tuple(QUALITIES), config.data.image_size)
    measured = [
        row(name, cell.seed, ious.get(name), read_summary(sweep.workdir / cell.path) or {})
        for cell, name in named.items()
    ]
    write_atomically(sweep.workdir / "mask_quality.csv", as_csv(measured).encode())
    figure = draw(measured)
    write_atomically(sweep.workdir / "mask_quality.svg", svg(figure))
    write_atomically(sweep.workdir / "mask_quality.png", png(figure))
    written = ", ".join(str(sweep.workdir / f"mask_quality.{kind}") for kind in ("csv", "svg", "png"))
    return f"{table(measured)}\n\nWritten: {written}"


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
    # Without the images, which need not be in memory.
    masks = [(example["mask"], example["id"]) for example in examples]
    true = np.stack([resample(mask, size)[..., 0] > 127 for mask, _ in masks])
    means = {}
    for quality in qualities:
        worse = np.stack([resample(degraded(mask, quality, name), size)[..., 0] > 127 for mask, name in masks])
        means[quality], _ = mean_where_defined(np.asarray(mask_iou(jnp.asarray(worse), jnp.asarray(true))))
    return means


def row(condition: str, seed: int, mask_iou: float | None, summary: Mapping[str, Any]) -> Measured:
    """What a run's summary says; the learned masks' IoU is there, too.

    Args:
      condition: the cell's.
      seed: the cell's.
      mask_iou: of a quality's masks.
      summary: the run's `summary.json`.
    """
    scores = {}
    for metric in (*METRICS, "mask_iou"):
        for role in ROLES:
            of_role = [line[metric] for line in summary["results"] if line["role"] == role and metric in line]
            if of_role:
                scores[f"{metric}_{role}"] = float(np.mean(of_role))
    learned = scores.get("mask_iou_id")
    return Measured(
        condition,
        seed,
        learned if condition == LEARNED else mask_iou,
        {name: value for name, value in scores.items() if name in COLUMNS},
    )


def as_csv(measured: Sequence[Measured]) -> str:
    """One row a run; what does not apply is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for run in measured:
        # Five decimals: the last one is less than a tenth of one image.
        numbers = {name: f"{value:.5f}" for name, value in ({"mask_iou": run.mask_iou} | dict(run.scores)).items()
                   if value is not None}  # fmt: skip
        writer.writerow({"condition": run.condition, "seed": run.seed} | numbers)
    return text.getvalue()


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds and its standard error, NaN for a single seed."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def table(measured: Sequence[Measured]) -> str:
    """Markdown: a row a condition, means over seeds with their standard errors."""
    titles = {
        "accuracy_id": "in distribution, %",
        "accuracy_background_shift": "background shift, %",
        "accuracy_ood": "held-out vendor, %",
        "cam_energy_ood": "CAM energy, held-out vendor",
    }

    def written(values: Sequence[float], factor: int, digits: int) -> str:
        if not values:
            return "–"
        mean, error = mean_and_error(values)
        spread = "" if np.isnan(error) else f" ± {factor * error:.{digits}f}"
        return f"{factor * mean:.{digits}f}{spread}"

    lines = ["| masks | mask IoU | " + " | ".join(titles.values()) + " |", "|---" * (len(titles) + 2) + "|"]
    for condition in dict.fromkeys(run.condition for run in measured):
        runs = [run for run in measured if run.condition == condition]
        ious = [run.mask_iou for run in runs if run.mask_iou is not None]
        line = [f"{np.mean(ious):.2f}" if ious else "–"]
        for name in titles:
            values = [run.scores[name] for run in runs if name in run.scores]
            line.append(written(values, 100, 1) if name.startswith("accuracy") else written(values, 1, 3))
        title = {LEARNED: "learned (ALIGN)", "dre": "none (DRE)", "erm": "none (ERM)"}.get(condition, condition)
        lines.append(f"| {title} | " + " | ".join(line) + " |")
    return "\n".join(lines)
