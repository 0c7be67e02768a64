"""Evaluates a trained run again, on any data set with the same classes or with some of them.

Roles are relative to the run's training data. On its own data set, its training domains are in distribution (or
validation splits), and every other domain is out of distribution; on another data set, all domains are.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from align_jax.data.domains import BACKGROUND_ROLES, EvaluationSplit, Role, describe_data
from align_jax.data.load import load
from align_jax.errors import UserError, listed
from align_jax.evaluation.background_gap import background_gaps
from align_jax.evaluation.evaluator import Evaluator
from align_jax.evaluation.explained_methods import check_metrics, explain_settings
from align_jax.inference.data_of_a_run import is_own_data, splits_as_in_training, with_labels_of_the_run
from align_jax.reporting import names
from align_jax.reporting.columns import FLIPS, GAP, PREDICTION, Metric
from align_jax.reporting.per_group import worst_group_sentences
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.files import real, write_atomically
from align_jax.runtime.processes import check_alike, writer_first
from align_jax.runtime.sharding import data_mesh
from align_jax.tables.table import Cell, Column, Group, Row, Table
from align_jax.tables.terminal import terminal

# In bytes, without suffix: file systems allow 255. Of a longer name the rest becomes a hash.
LONGEST_NAME = 200
# Fields that are left out of a file's name: it has them already, or they only say where data lie and how to read them.
NOT_IN_NAME = ("name", "folder", "protocol", "domain", "root", "prepared", "threads", "prefetch", "augmentation")


def reevaluate(
    trained: TrainedRun, config: ml_collections.ConfigDict, *, prepare_on_each_host: bool = False
) -> dict[str, Any]:
    """Scores every evaluation split of the data set and protocol that `config.data` names.

    Args:
      trained: the run.
      config: the run's own, except for `data`, `evaluation` and `explain`.
      prepare_on_each_host: of several processes, whether each prepares the data set, as the hosts share no file system.

    Returns:
      JSON: the run, the data, `background_gaps` as in `summary.json`, and in `results` a row for each split, as there
      (validation included). A row with `may_hold_training_images` is of a training domain that is split in another way
      than for training; `classes_without_examples` are classes of the run that the row says nothing about.

    Raises:
      UserError: classes that the run does not know, or a batch that the devices cannot share.
    """
    mesh = data_mesh()
    if config.evaluation.batch_size % mesh.size:
        raise UserError(
            f"config.evaluation.batch_size is {config.evaluation.batch_size}, which {mesh.size} devices cannot share "
            f"evenly; give a multiple of {mesh.size}."
        )
    data = load(config.data) if prepare_on_each_host else writer_first(lambda: load(config.data))
    check_alike("data", describe_data(config, data))
    check_metrics(config.explain, data)
    evaluation = with_labels_of_the_run(trained, data)
    evaluator = Evaluator(trained.networks, mesh, config)
    own = is_own_data(trained, config, data)
    same_splits = own and splits_as_in_training(trained, config, data)
    results = []
    tested: list[tuple[EvaluationSplit, dict[str, np.ndarray]]] = []
    for split in evaluation:
        role = _role(trained, split, own)
        row: dict[str, Any] = {"domain": split.domain, "role": role, "split": split.split}
        is_held_out = split.role in ("ood", *BACKGROUND_ROLES["ood"])
        if own and split.domain in trained.train_domains and not (same_splits and not is_held_out):
            row["may_hold_training_images"] = True
        scores, examples = evaluator.results(trained.states, split, trained.class_names)
        tested.append((dataclasses.replace(split, role=role), examples))
        absent = [name for name in trained.class_names if name not in scores["per_class_accuracy"]]
        results.append(row | scores | ({"classes_without_examples": absent} if absent else {}))
    return {
        "run": str(trained.folder),
        "step": trained.step,
        "train_domains": list(trained.train_domains),
        "dataset": data.name,
        "protocol": config.data.protocol,
        "domain": config.data.domain,
        "class_names": list(trained.class_names),
        "data": json.loads(config.data.to_json()),
        "evaluation": json.loads(config.evaluation.to_json()),
        "explain": explain_settings(config.explain, with_masks=data.has_masks),
        "device": mesh.devices.flat[0].device_kind,
        "results": results,
        "background_gaps": background_gaps(tested),
    }


def write_evaluation(trained: TrainedRun, evaluation: Mapping[str, Any], out: Path | None = None) -> Path:
    """Writes an evaluation, whole or not at all, to RUN/evaluations/DATASET-PROTOCOL-DOMAIN-stepN.json.

    The name also has the fields that differ from training's, so that `fold1` does not replace the file of fold 0.

    Args:
      trained: the run.
      evaluation: what `reevaluate` returned.
      out: another file, which must not be among the run's own files.

    Raises:
      UserError: as `check_out`.
    """
    if out is None:
        parts = [evaluation["dataset"], evaluation["protocol"], evaluation["domain"], f"step{evaluation['step']}"]
        for group in ("data", "evaluation", "explain"):
            before = json.loads(trained.config[group].to_json())
            changed = {f: evaluation[group][f] for f, v in before.items() if evaluation[group].get(f, v) != v}
            parts += [f"{field}{value}" for field, value in changed.items() if field not in NOT_IN_NAME]
        # The names of data sets and domains can be those of folders, with any characters.
        name = "-".join(re.sub(r"[^A-Za-z0-9_]+", "_", part) for part in parts)
        if len(name) > LONGEST_NAME:
            name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        out = trained.folder / "evaluations" / f"{name}.json"
    else:
        check_out(trained, out)
    return write_atomically(out, json.dumps(evaluation, indent=2, allow_nan=False).encode())


def check_out(trained: TrainedRun, out: Path) -> None:
    """Raises a UserError if the file to write is a folder, or lies among the run's own files, as `summary.json`."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file, such as {out / 'evaluation.json'}.")
    evaluations = trained.folder / "evaluations"
    within = real(out).is_relative_to(real(trained.folder))
    if within and not real(out).is_relative_to(real(evaluations)):
        raise UserError(f"--out {out} lies among the run's own files; give a file in {evaluations}, or elsewhere.")


def evaluation_table(evaluation: Mapping[str, Any]) -> str:
    """The results as text for a terminal, a row for each split, and what to know before quoting them."""
    results: Sequence[Mapping[str, Any]] = evaluation["results"]
    metrics = [metric for metric in PREDICTION if any(result.get(metric.key) is not None for result in results)]
    rows, caption = [], []
    for result in results:
        star = " *" if result.get("may_hold_training_images") else ""
        split = (f"{result['domain']}{star}", str(result["split"]), names.role_title(result["role"]).lower())
        scores = (Cell(metric.text(result.get(metric.key))) for metric in metrics)
        rows.append(Row(split, (Cell(str(result["examples"])), *scores)))
    if any(result.get("may_hold_training_images") for result in results):
        caption.append("* A training domain, split in another way: some of its images may have been trained on.")
    caption += worst_group_sentences(results)
    caption += _gap_sentences(evaluation["background_gaps"])
    caption += _absent_classes(results)
    if evaluation["protocol"] == "in_domain" and evaluation["domain"] not in evaluation["train_domains"]:
        caption.append(
            "These are the parts of a domain that in_domain validates and tests on; "
            "--config.data.protocol=leave_one_out tests on the whole domain."
        )
    columns = (Column("images"), *(metric.column for metric in metrics))
    return terminal(Table("", ("domain", "split", ""), columns, (Group("", tuple(rows)),), tuple(caption)))


def _role(trained: TrainedRun, split: EvaluationSplit, own: bool) -> Role:
    plain: Role = "id" if own and split.domain in trained.train_domains else "ood"
    for roles in BACKGROUND_ROLES.values():
        if split.role in roles:
            return BACKGROUND_ROLES[plain][roles.index(split.role)]
    return plain if "ood" in (plain, split.role) else split.role


def _gap_sentences(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """The gap and the flips of each domain that was tested on aligned and on conflicting backgrounds."""
    if not gaps:
        return []
    parts = [
        f"{gap['domain']} {', '.join(f'{m.title.lower()} {_with_error(m, gap)}' for m in (GAP, FLIPS))}" for gap in gaps
    ]
    return [f"In percent: {'; '.join(parts)}.", names.GAP_AND_FLIPS]


def _with_error(metric: Metric, values: Mapping[str, Any]) -> str:
    error = metric.text(values.get(f"{metric.key}_standard_error"), missing="")
    return Cell(metric.text(values[metric.key]), error=error).text


def _absent_classes(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each list of classes without examples, with the splits that lack them."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for result in results:
        if absent := tuple(result.get("classes_without_examples", ())):
            lacking.setdefault(absent, []).append(f"{result['domain']} ({result['split']})")
    return [
        f"No image of {listed(absent)} in {'any split' if len(splits) == len(results) else ', '.join(splits)}: "
        "the scores are of the other classes."
        for absent, splits in lacking.items()
    ]
