"""Which weights runs began with: those of one checksum are one setting, wherever they were read from."""

from collections.abc import Sequence
from dataclasses import replace

from align_jax.runs.read import Run

SETTING = "classifier.pretrained"


def with_named_weights(runs: Sequence[Run]) -> list[Run]:
    """The runs, with the checksum of what they began with in the place of a mere path.

    Weights that were read from several places are called by one of them. A run that recorded no checksum stays as it
    is.
    """
    sources: dict[str, str] = {}
    for run in runs:
        if run.weights is not None:
            source, sha256 = run.weights.source, run.weights.sha256
            sources[sha256] = min(source, sources.get(sha256, source))
    return [
        run
        if run.weights is None
        else replace(run, config=dict(sorted({**run.config, SETTING: _named(run.weights.sha256, sources)}.items())))
        for run in runs
    ]


def _named(sha256: str, sources: dict[str, str]) -> str:
    return f"{sources[sha256]} (sha256 {sha256[:12]}…)"
