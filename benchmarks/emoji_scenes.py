"""ALIGN against ERM and against guidance by true masks, over several seeds, with paired errors.

    python -m benchmarks.emoji_scenes --workdir=runs/emoji_scenes --csv=docs/results/emoji_scenes.csv

Trains configs/quickstart.py for each method and seed (what is complete is not repeated, what was stopped goes on),
writes one CSV row a method, seed and domain, and prints the table of README.md.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np

from align_jax.bootstrap import paired_difference
from align_jax.reporting.paired import correct_images
from align_jax.reporting.read_run import read_run
from align_jax.training import train_and_evaluate
from configs.quickstart import get_config

METHODS = {
    "ALIGN": {"algorithm": "align", "guidance": "learned"},
    "ERM": {"algorithm": "erm", "guidance": "none"},
    "true masks": {"algorithm": "align", "guidance": "true"},
}
ROLES = {"id": "in distribution", "background_shift": "background shift", "ood": "held-out vendor"}
COLUMNS = ("accuracy", "auc", "mask_iou", "cam_energy", "comprehensiveness", "random_comprehensiveness",
           "sufficiency", "random_sufficiency", "insertion_auc", "random_insertion_auc")  # fmt: skip


def run_folder(workdir: Path, method: str, seed: int) -> Path:
    """Where one method's run with one seed lies."""
    return workdir / f"{method.replace(' ', '_').lower()}_seed{seed}"


def train_all(workdir: Path, seeds: list[int]) -> None:
    """Every method with every seed."""
    for seed in seeds:
        for method, settings in METHODS.items():
            config = get_config()
            config.seed, config.compare = seed, ()
            config.update(settings)
            train_and_evaluate(config, run_folder(workdir, method, seed))


def rows(workdir: Path, seeds: list[int]) -> list[dict[str, object]]:
    """One row a method, seed and evaluated domain."""
    result: list[dict[str, object]] = []
    for method in METHODS:
        for seed in seeds:
            summary = json.loads((run_folder(workdir, method, seed) / "summary.json").read_text())
            for line in summary["results"]:
                head = {"method": method, "seed": seed, "domain": line["domain"], "role": line["role"]}
                result.append(head | {name: line.get(name, "") for name in COLUMNS})
    return result


def correct(workdir: Path, method: str, seeds: list[int], role: str) -> tuple[np.ndarray, np.ndarray]:
    """For each image of a role, how often it was right over the seeds, and its concept."""
    by_seed = [correct_images(read_run(run_folder(workdir, method, seed)), role) for seed in seeds]
    shares = [images[0] for images in by_seed if images is not None]
    concepts = next(images[1] for images in by_seed if images is not None)
    return np.mean(shares, axis=0), concepts


def table(workdir: Path, seeds: list[int]) -> str:
    """Markdown: accuracies as mean ± standard error over seeds, then paired differences to ERM in points."""
    lines = rows(workdir, seeds)

    def over_seeds(method: str, role: str, name: str) -> str:
        values = [
            np.mean([float(str(r[name])) for r in lines if (r["method"], r["seed"], r["role"]) == (method, seed, role)])
            for seed in seeds
            if any(r[name] != "" for r in lines if (r["method"], r["role"]) == (method, role))
        ]
        if not values:
            return "–"
        error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
        return f"{100 * np.mean(values):.1f} ± {100 * error:.1f}" if name == "accuracy" else f"{np.mean(values):.3f}"

    text = ["| | " + " | ".join(f"{title}, %" for title in ROLES.values()) + " | mask IoU | CAM energy |"]
    text.append("|---" * (len(ROLES) + 3) + "|")
    for method in METHODS:
        cells = [over_seeds(method, role, "accuracy") for role in ROLES]
        cells += [over_seeds(method, "ood", "mask_iou"), over_seeds(method, "ood", "cam_energy")]
        text.append(f"| {method} | " + " | ".join(cells) + " |")
    for method in ("ALIGN", "true masks"):
        cells = []
        for role in ROLES:
            of_method, concepts = correct(workdir, method, seeds, role)
            of_erm, _ = correct(workdir, "ERM", seeds, role)
            difference = paired_difference(of_method, of_erm, concepts)
            low, high = (100 * bound for bound in difference.interval)
            cells.append(f"{100 * difference.difference:+.1f} [{low:+.1f}, {high:+.1f}]")
        text.append(f"| {method} - ERM | " + " | ".join(cells) + " | | |")
    text += [
        "",
        "| held-out vendor | comprehensiveness (random map) | sufficiency (random map) | insertion AUC (random map) |",
    ]
    text.append("|---|---|---|---|")
    for method in METHODS:
        pairs = [
            f"{over_seeds(method, 'ood', name)} ({over_seeds(method, 'ood', 'random_' + name)})"
            for name in ("comprehensiveness", "sufficiency", "insertion_auc")
        ]
        text.append(f"| {method} | " + " | ".join(pairs) + " |")
    return "\n".join(text)


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    train_all(arguments.workdir, arguments.seeds)
    lines = rows(arguments.workdir, arguments.seeds)
    arguments.csv.parent.mkdir(parents=True, exist_ok=True)
    with arguments.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print(table(arguments.workdir, arguments.seeds), file=sys.stdout)


if __name__ == "__main__":
    main()
