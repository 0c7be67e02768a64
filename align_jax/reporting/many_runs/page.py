"""Benchmark tables as one HTML page; what a run's files hold is text, never markup."""

from align_jax.reporting.columns import ACCURACY
from align_jax.reporting.many_runs import words
from align_jax.reporting.many_runs.captions import legend
from align_jax.reporting.many_runs.report import Report
from align_jax.reporting.page import TEMPLATES


def html(report: Report) -> str:
    """One page that loads nothing."""
    return TEMPLATES.get_template("benchmark.html").render(
        report=report,
        title=page_title(report),
        printed=words.printed,
        facts=words.facts,
        legend=legend,
        heading=words.heading,
        warning=words.oracle_warning,
        accuracy=ACCURACY,
    )


def page_title(report: Report) -> str:
    """The data sets that the page is about."""
    datasets = dict.fromkeys(benchmark.title.partition(",")[0] for benchmark in report.benchmarks)
    return f"Benchmark: {', '.join(datasets)}" if datasets else "Benchmark"
