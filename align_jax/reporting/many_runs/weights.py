"""Which weights runs began with: those of one checksum are one setting, wherever they were read from."""

from collections.abc import Sequence
from dataclasses import replace

from align_jax.runs.read import Run


def with_named_weights(runs: Sequence[Run]) -> list[Run]:
    """The runs, with the checksum of what they began with in the place of a mere path.

    Weights that were read from several places are called by one of them. A run that recorded no checksum stays as it
    is.
    """
    sources: dict[str, str] = {}
    for weights in (run.weights for run in runs if run.weights):
        sources[weights.sha256] = min(weights.source, sources.get(weights.sha256, weights.source))

    def named(run: Run, sha256: str) -> Run:
        config = {**run.config, "classifier.pretrained": f"{sources[sha256]} (sha256 {sha256[:12]}…)"}
        return replace(run, config=dict(sorted(config.items())))

    return [named(run, run.weights.sha256) if run.weights else run for run in runs]
