"""Tables of results: for a page (cells, ready to be printed) and for a terminal (text)."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting import names, paired
from align_jax.reporting.columns import ACCURACY, CAM_ENERGY, FAITHFULNESS, MASK_IOU, PREDICTION, Metric
from align_jax.runs.read import Result, Run, read_run

# What a result's row says about itself or about another of its values; all other numbers are measurements.
NOT_MEASURED = {"examples", "auc_classes_left_out", "faithfulness_images"}


@dataclass(frozen=True)
class Cell:
    """A printed value with its standard error, its difference to a reference, and its random-map control."""

    value: str
    error: str = ""
    difference: str = ""
    control: str = ""
    best: bool = False
    beaten_by_control: bool = False


@dataclass(frozen=True)
class Row:
    """The values of one domain or method; in a comparison the first row of a domain carries its name."""

    name: str
    cells: Sequence[Cell]
    examples: str = ""
    is_mean: bool = False
    domain: str = ""
    methods: int = 0


@dataclass(frozen=True)
class Group:
    """The rows of one role."""

    title: str
    meaning: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    columns: Sequence[Metric]
    groups: Sequence[Group]

    @property
    def has_examples(self) -> bool:
        return any(row.examples for group in self.groups for row in group.rows)


def role_mean(results: Sequence[Result], role: str, key: str) -> float | None:
    """Unweighted mean over the domains of a role; None unless every one of them has the value."""
    values = [result.values.get(key) for result in results if result.role == role]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def role_error(results: Sequence[Result], role: str, key: str) -> float | None:
    """The standard error of a role's value where the role is a single domain.

    Over several domains it is None: they share their concepts, so that their errors do not average out.
    """
    rows = [result for result in results if result.role == role]
    return rows[0].values.get(f"{key}_standard_error") if len(rows) == 1 else None


def explained_role(results: Sequence[Result]) -> str | None:
    """The role whose masks and maps stand for a run in a headline: the one furthest from training."""
    roles = [role for role in names.in_role_order([result.role for result in results]) if role != "validation"]
    known = [role for role in roles if role in names.ROLES]
    return (known or roles)[-1] if roles else None


def run_table(run: Run, metrics: Sequence[Metric]) -> Table:
    """One row a domain, grouped by role, with the mean of each role that has several domains."""
    columns = _present(metrics, run.results)
    counted = _counted(columns)
    selection = shared_selection([run])
    groups = []
    for role in names.in_role_order([result.role for result in run.results]):
        results = [result for result in run.results if result.role == role]
        if not _present(columns, results):
            continue
        rows = [
            Row(result.domain, [_cell(metric, values) for metric in columns], _examples(values, counted))
            for result in results
            for values in [_values(result)]
        ]
        if len(results) > 1:
            mean = _means(results, role, columns)
            rows.append(
                Row(f"Mean of {len(results)} domains", [_cell(metric, mean) for metric in columns], is_mean=True)
            )
        groups.append(Group(names.role_title(role), names.role_meaning(role, run.dataset, selection), rows))
    return Table(columns, groups)


def compared_table(runs: Mapping[str, Run], metrics: Sequence[Metric], reference: str) -> Table:
    """One row a method, grouped by role and domain, each role closing with its mean over several domains.

    Args:
      runs: the runs by the names of their methods, in the order of the rows.
      metrics: the columns; those that no run measured are left out.
      reference: the method to which the differences are taken.
    """
    every_result = [result for run in runs.values() for result in run.results]
    columns = _present(metrics, every_result)
    dataset = next(iter(runs.values())).dataset
    selection = shared_selection(list(runs.values()))
    groups = []
    for role in names.in_role_order([result.role for result in every_result]):
        results = [result for result in every_result if result.role == role]
        if not _present(columns, results):
            continue
        domains = list(dict.fromkeys(result.domain for result in results))
        rows = []
        for domain in domains:
            of_method = {name: _values_of(run, role, domain) for name, run in runs.items()}
            rows += _method_rows(columns, of_method, reference, domain)
        if len(domains) > 1:
            means = {name: _means(run.results, role, columns) for name, run in runs.items()}
            rows += _method_rows(columns, means, reference, f"Mean of {len(domains)}", is_mean=True)
        groups.append(Group(names.role_title(role), names.role_meaning(role, dataset, selection), rows))
    return Table(columns, groups)


def headline_table(runs: Mapping[str, Run], reference: str) -> Table:
    """One row a method: the accuracy under each shift, and how far masks and maps found the object."""
    columns, values = headline(list(runs.values()))
    return Table(columns, [Group("", "", _method_rows(columns, dict(zip(runs, values, strict=True)), reference))])


def headline(runs: Sequence[Run]) -> tuple[list[Metric], list[dict[str, float | None]]]:
    """What a run comes down to: role means of the accuracy, and mask IoU and CAM energy far from training.

    Returns:
      The columns, whose keys are `role/metric`, and for each run its values and standard errors by key.
    """
    results = [result for run in runs for result in run.results]
    roles = [role for role in names.in_role_order([result.role for result in results]) if role != "validation"]
    columns = [
        replace(ACCURACY, key=f"{role}/accuracy", title=names.role_title(role), subtitle="accuracy") for role in roles
    ]
    explained = explained_role(results)
    for metric in (MASK_IOU, CAM_ENERGY):
        if explained and any(role_mean(run.results, explained, metric.key) is not None for run in runs):
            subtitle = names.role_title(explained).lower()
            columns.append(replace(metric, key=f"{explained}/{metric.key}", subtitle=subtitle))
    values = []
    for run in runs:
        row = {}
        for column in columns:
            role, _, key = column.key.rpartition("/")
            row[column.key] = role_mean(run.results, role, key)
            error = paired.accuracy_standard_error(run, role) if key == "accuracy" else None
            row[f"{column.key}_standard_error"] = role_error(run.results, role, key) if error is None else error
        values.append(row)
    return columns, values


def method_names(runs: Sequence[Run]) -> list[str]:
    """A distinct name for each run: its method, with the seed or the folder where methods repeat."""
    plain = [names.method_name(run.algorithm, run.guidance) for run in runs]
    if len(set(plain)) == len(plain):
        return plain
    seeded = [f"{name}, seed {run.seed}" for name, run in zip(plain, runs, strict=True)]
    if len(set(seeded)) == len(seeded):
        return seeded
    return [f"{name} ({run.path})" for name, run in zip(seeded, runs, strict=True)]


def shared_selection(runs: Sequence[Run]) -> str:
    """`oracle` where one of the runs was selected by it, as then their tests held nothing back; else empty."""
    return "oracle" if any(run.selection == "oracle" for run in runs) else ""


def reference_method(runs: Mapping[str, Run]) -> str:
    """The method to which the others are compared: ERM where there is one, else the first."""
    return next((name for name, run in runs.items() if run.algorithm == "erm"), next(iter(runs)))


def comparison_table(runs: Sequence[pathlib.Path]) -> str:
    """The headline of a comparison as text for a terminal, one row a method.

    Args:
      runs: the run folders, in the order of the rows.

    Raises:
      ValueError: a folder lacks a file or holds a broken one.
    """
    read = [read_run(path) for path in runs]
    columns, values = headline(read)
    lines = [["", *(f"{column.title}{' %' if column.unit else ''}" for column in columns)]]
    for name, row in zip(method_names(read), values, strict=True):
        cells = [_cell(column, row) for column in columns]
        lines.append([name, *(f"{cell.value} {cell.error}".strip() for cell in cells)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    text = [
        "  ".join([name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))])
        for name, *cells in lines
    ]
    text.append("Accuracy: mean over the domains of each test; ± is one standard error, bootstrapped over concepts.")
    methods = dict(zip(method_names(read), read, strict=True))
    text += [f"{sentence}." for sentence in paired.difference_sentences(methods, reference_method(methods))]
    if any(column.key.endswith(("/mask_iou", "/cam_energy")) for column in columns):
        explained = explained_role([result for run in read for result in run.results])
        text.append(
            f"Mask IoU, CAM energy (share of Grad-CAM inside the object): {names.role_title(str(explained)).lower()}."
        )
    return "\n".join(text)


def further_metrics(runs: Sequence[Run]) -> list[Metric]:
    """Columns for the numbers in summary.json that this file does not know by name."""
    known = {metric.key for metric in (*PREDICTION, *FAITHFULNESS)} | NOT_MEASURED
    keys = {
        key
        for run in runs
        for result in run.results
        for key in result.values
        if key not in known and not key.endswith("_standard_error") and not key.startswith("random_")
    }
    return [Metric(key, names.series_title(key)) for key in sorted(keys)]


def _present(metrics: Sequence[Metric], results: Sequence[Result]) -> list[Metric]:
    return [metric for metric in metrics if any(metric.key in result.values for result in results)]


def _means(results: Sequence[Result], role: str, columns: Sequence[Metric]) -> dict[str, float | None]:
    keys = [key for metric in columns for key in (metric.key, f"random_{metric.key}")]
    return {key: role_mean(results, role, key) for key in keys}


def _values(result: Result) -> dict[str, float | None]:
    return {**result.values, "examples": result.examples, "faithfulness_images": result.faithfulness_images}


def _values_of(run: Run, role: str, domain: str) -> dict[str, float | None]:
    return next((_values(r) for r in run.results if (r.role, r.domain) == (role, domain)), {})


def _method_rows(
    columns: Sequence[Metric],
    of_method: Mapping[str, Mapping[str, float | None]],
    reference: str,
    domain: str = "",
    is_mean: bool = False,
) -> list[Row]:
    best = {metric.key: _best(metric, [values.get(metric.key) for values in of_method.values()]) for metric in columns}
    rows: list[Row] = []
    counted = _counted(columns)
    for name, values in of_method.items():
        cells = []
        for metric in columns:
            value = values.get(metric.key)
            difference = ""
            if name != reference:
                difference = metric.difference(value, of_method[reference].get(metric.key))
            cells.append(_cell(metric, values, difference, metric.text(value) in best[metric.key]))
        first = not rows
        rows.append(
            Row(
                name,
                cells,
                _examples(values, counted),
                is_mean,
                domain if first else "",
                len(of_method) if first else 0,
            )
        )
    return rows


def _best(metric: Metric, values: Sequence[float | None]) -> set[str]:
    """The text of the best value; empty where nothing was compared or all look alike."""
    present = [value for value in values if value is not None]
    texts = {metric.text(value) for value in present}
    if metric.better == "neither" or len(texts) < 2:
        return set()
    return {metric.text(max(present) if metric.better == "higher" else min(present))}


def _cell(metric: Metric, values: Mapping[str, float | None], difference: str = "", best: bool = False) -> Cell:
    value, control = values.get(metric.key), values.get(f"random_{metric.key}")
    beaten = False
    if value is not None and control is not None:
        beaten = {"higher": value <= control, "lower": value >= control, "neither": False}[metric.better]
    return Cell(
        value=metric.text(value),
        error=_error(metric, values.get(f"{metric.key}_standard_error")),
        difference=difference,
        control=metric.text(control) if control is not None else "",
        best=best,
        beaten_by_control=beaten,
    )


def _error(metric: Metric, error: float | None) -> str:
    return f"± {metric.text(error)}" if error is not None else ""


def _counted(columns: Sequence[Metric]) -> str:
    """Which count of images belongs to these columns: faithfulness is measured on a part of them."""
    return "faithfulness_images" if columns and set(columns) <= set(FAITHFULNESS) else "examples"


def _examples(values: Mapping[str, float | None], counted: str) -> str:
    examples = values.get(counted)
    return f"{int(examples):,}" if examples is not None else ""
