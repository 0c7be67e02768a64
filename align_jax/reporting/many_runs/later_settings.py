"""Runs of an earlier version beside later ones: a setting that a run did not have yet is its default."""

import json
from collections.abc import Sequence
from dataclasses import replace

from align_jax.configuration import default_config
from align_jax.runs.read import Run, flat, setting_text


def with_later_settings(runs: Sequence[Run]) -> list[Run]:
    """The runs, each with the settings that any of them has; as `runs.folder.check_run_folder` compares configs."""
    known = {name for run in runs for name in run.config}
    defaults = {
        name: setting_text(default)
        for name, default in flat(json.loads(default_config().to_json())).items()
        if name in known
    }
    return [replace(run, config=dict(sorted((defaults | dict(run.config)).items()))) for run in runs]
