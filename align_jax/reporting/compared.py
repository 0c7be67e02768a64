"""Runs side by side: their names, the reference, and the settings that should be equal and are not."""

from collections.abc import Mapping, Sequence

from align_jax.reporting import names
from align_jax.runs.read import Run


def named_methods(runs: Sequence[Run]) -> dict[str, Run]:
    """The runs by distinct names: their methods, with the seed or the folder where methods repeat."""
    plain = [names.method_name(run.algorithm, run.guidance) for run in runs]
    seeded = [f"{name}, seed {run.seed}" for name, run in zip(plain, runs, strict=True)]
    placed = [f"{name} ({run.path})" for name, run in zip(seeded, runs, strict=True)]
    distinct = next((titles for titles in (plain, seeded) if len(set(titles)) == len(runs)), placed)
    return dict(zip(distinct, runs, strict=True))


def reference_method(runs: Mapping[str, Run]) -> str:
    """The method to which the others are compared: ERM where there is one, else the first."""
    return next((name for name, run in runs.items() if run.algorithm == "erm"), next(iter(runs)))


def shared_selection(runs: Sequence[Run]) -> str:
    """`oracle` if one of the runs was selected by it: their tests then held nothing back. Else empty."""
    return "oracle" if any(run.selection == "oracle" for run in runs) else ""


def differing_settings(methods: Mapping[str, Run]) -> list[str]:
    """Settings in which compared runs should be equal and are not."""
    runs = list(methods.values())
    settings: dict[str, int] = {
        "data set": len({run.dataset for run in runs}),
        "training domains": len({run.train_domains for run in runs}),
        "seed": len({run.seed for run in runs}),
        "selection": len({run.selection for run in runs}),
    }
    return [title for title, different in settings.items() if different > 1]
