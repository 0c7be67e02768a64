"""The pages: one self-contained HTML file for a run, and one for several runs side by side."""

import os
import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence

from align_jax.reporting import curves, names, paired
from align_jax.reporting.background_cards import object_cards
from align_jax.reporting.by_background import background_table
from align_jax.reporting.columns import PREDICTION, further_metrics, of_explanations
from align_jax.reporting.compared import differing_settings, named_methods, reference_method
from align_jax.reporting.further_methods import first_method, methods_table
from align_jax.reporting.gallery_cards import gallery_cards
from align_jax.reporting.metric_meanings import MEANINGS
from align_jax.reporting.per_class import per_class_table
from align_jax.reporting.per_group import per_group_table, worst_group_table
from align_jax.reporting.result_tables import headline_table, results_table
from align_jax.reporting.time_spent import in_words, time_spent
from align_jax.runs.read import Run, read_run
from align_jax.runs.read_metrics import Metrics, read_metrics
from align_jax.runs.untrusted_json import MOST_BYTES, BrokenFile, read_bytes
from align_jax.runtime.files import write_atomically
from align_jax.tables.html import environment, html
from align_jax.tables.table import MISSING

TEMPLATES = environment(pathlib.Path(__file__).parent / "templates")
TEMPLATES.globals["table"] = html


def write_run_report(run: pathlib.Path) -> pathlib.Path:
    """Writes RUN/report/index.html: results, faithfulness, curves and gallery of one run.

    Args:
      run: the run folder.

    Returns:
      The page's path. It is one file that loads nothing, and it appears whole or not at all.

    Raises:
      ValueError: a file of the run is missing or broken; the message names it and the remedy.
    """
    content, (metrics, no_curves) = read_run(run), _metrics(run)
    return _write_page(
        run / "report" / "index.html",
        "run.html",
        named_methods([content]),
        facts=_run_facts(content),
        timing=_timing_facts(content),
        time_spent=time_spent(content.timing),
        sections=[
            curves.evaluation_section(metrics, content.best_step),
            *curves.training_sections({"": metrics}, content.best_step),
        ],
        no_curves=[no_curves] if no_curves else [],
        config=read_bytes(run / "config.json", MOST_BYTES).decode(errors="replace"),
    )


def write_comparison_report(workdir: pathlib.Path, runs: Sequence[pathlib.Path]) -> pathlib.Path:
    """Writes WORKDIR/report/index.html: the runs side by side.

    Differences are taken to ERM where it is among the runs, else to the first run.

    Args:
      workdir: where the page goes, usually the folder above the runs.
      runs: the run folders, in the order in which they are shown.

    Returns:
      The page's path. It is one file that loads nothing, and it appears whole or not at all.

    Raises:
      ValueError: no run is given, or a file of a run is missing or broken; the message names it and the remedy.
    """
    if not runs:
        raise ValueError(f"no runs to compare in {workdir}: give at least one run folder")
    methods = named_methods([read_run(path) for path in runs])
    logs = {name: _metrics(run.path) for name, run in methods.items()}
    metrics = {name: log for name, (log, _) in logs.items()}
    reference = reference_method(methods)
    path = workdir / "report" / "index.html"
    pages = {name: run.path / "report" / "index.html" for name, run in methods.items()}
    return _write_page(
        path,
        "comparison.html",
        methods,
        reference,
        methods={name: _run_facts(run) | _timing_facts(run) | _time_facts(run) for name, run in methods.items()},
        links={
            name: urllib.parse.quote(os.path.relpath(page, path.parent))
            for name, page in pages.items()
            if page.exists()
        },
        differing=differing_settings(methods),
        paired=paired.difference_sentences(methods, reference),
        sections=[*curves.compared_evaluation_sections(metrics), *curves.training_sections(metrics)],
        no_curves=[problem for _, problem in logs.values() if problem],
    )


def _metrics(run: pathlib.Path) -> tuple[Metrics, str]:
    """A run's log, and why it cannot be read, if it cannot: a page without curves still has every result."""
    try:
        return read_metrics(run), ""
    except BrokenFile as error:
        return Metrics((), ()), str(error)


def _write_page(
    path: pathlib.Path, template: str, runs: Mapping[str, Run], reference: str = "", **own: object
) -> pathlib.Path:
    """Writes a page: what one run and several have in common, and the values that only this template has."""
    first = next(iter(runs.values()))
    results = [result for run in runs.values() for result in run.results]
    measured = [*PREDICTION, *further_metrics(results)]
    plain = [result.role for result in results if result.role not in names.ON_BACKGROUNDS]
    groups, left_out = gallery_cards(runs)
    page = TEMPLATES.get_template(template).render(
        title=f"{names.listed(list(runs))} on {names.dataset_title(first.dataset)}",
        oracle=_oracle_warning(runs),
        reference=reference,
        headline=headline_table(runs, reference),
        results=results_table(runs, measured, reference, leave_out=names.ON_BACKGROUNDS),
        backgrounds=background_table(runs, reference),
        on_backgrounds=results_table(runs, measured, reference, leave_out=plain),
        objects=object_cards(runs),
        gap_and_flips=names.GAP_AND_FLIPS,
        per_class=per_class_table(runs),
        worst_groups=worst_group_table(runs),
        per_group=per_group_table(first) if len(runs) == 1 else None,
        faithfulness=results_table(runs, of_explanations(results), reference),
        explained_by=first_method(first),
        metric_meanings=[(metric, MEANINGS[metric.key]) for metric in of_explanations(results)],
        explanation_methods=methods_table(runs),
        # The most classes that an AUC had to leave out.
        classes_left_out=int(max((result.values.get("auc_classes_left_out", 0) for result in results), default=0)),
        settings=first.config,
        gallery=groups,
        left_out=left_out,
        **own,
    )
    return write_atomically(path, page.encode())


def _run_facts(run: Run) -> dict[str, str]:
    """What was trained, and on what."""
    facts = {
        "Algorithm": names.method_name(run.algorithm, run.guidance),
        "Guidance": names.GUIDANCE.get(run.guidance, ""),
        "Data set": names.dataset_title(run.dataset),
        "Protocol": names.PROTOCOLS.get(run.protocol, ""),
        "Trained on": ", ".join(run.train_domains),
        "Held out": ", ".join(run.held_out_domains),
        "Began with": f"{run.weights.source} (sha256 {run.weights.sha256[:12]}…)" if run.weights else "",
        "Seed": str(run.seed),
        "Steps": "" if run.step is None else str(run.step),
    }
    return {title: text for title, text in facts.items() if text}


def _timing_facts(run: Run) -> dict[str, str]:
    """Which checkpoint the numbers belong to, and where the time went."""
    waiting, speed = run.timing.get("data_wait_fraction"), run.timing.get("images_per_s")
    step = "" if run.best_step is None else f"step {run.best_step}: "
    return {
        "Checkpoint": f"{step}{names.selection_meaning(run.selection)}",
        "Wall time": names.duration(run.timing.get("wall_s")),
        "Compilation": names.duration(run.timing.get("compile_s")),
        "Waiting for data": f"{100 * waiting:.1f} %" if waiting is not None else MISSING,
        "Images per second": f"{speed:,.0f}" if speed is not None else MISSING,
    }


def _time_facts(run: Run) -> dict[str, str]:
    """Where the time went; nothing for a run of an earlier version."""
    words = in_words(run.timing)
    return {"Of this time": words} if words else {}


def _oracle_warning(methods: Mapping[str, Run]) -> str:
    """A warning before all numbers if a checkpoint was selected on the test itself; else empty."""
    oracles = [name for name, run in methods.items() if run.selection == "oracle"]
    if not oracles:
        return ""
    if len(oracles) == len(methods):
        return names.oracle_warning("every checkpoint here" if len(methods) > 1 else "the checkpoint")
    return names.oracle_warning(f"the checkpoint of {names.listed(oracles)}")
