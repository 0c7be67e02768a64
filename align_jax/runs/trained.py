"""Restores a trained run from its folder alone, without data set and optimiser, on any devices.

The folder may come from someone else: its JSON is checked field by field against this version's defaults, and of its
checkpoints only arrays are read, after their shapes were found to be those of the networks that the config names.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from orbax.checkpoint import v1 as ocp

from align_jax.configuration import check, default_config
from align_jax.errors import UserError
from align_jax.models.build import build_classifier, build_masker
from align_jax.moved_settings import with_new_names
from align_jax.networks import Classifier, Masker
from align_jax.runs.checksums import verify, without_checksums
from align_jax.runs.read import Data, read_data
from align_jax.runs.read_checkpoint import read_position, reading, saved_steps
from align_jax.runs.untrusted_json import BrokenFile, as_float, read_object
from align_jax.runtime.paths import check_utf8
from align_jax.runtime.sharding import data_mesh, replicated
from align_jax.states import ClassifierState, MaskerState, States
from align_jax.tables.table import shortened

# Enough to use a network; the optimisers' states, twice as large, stay on disk.
RESTORED = ("step", "params", "batch_stats")


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a run has learned, and what it learned it from.

    Attributes:
      folder: the run's.
      config: what it was trained with.
      defaulted: fields that its `config.json` did not have, as in `config.FIELD`; they have this version's defaults.
      networks: classifier, and masker where one was trained.
      states: of both, replicated over the devices there are now, without the optimisers' states.
      step: of the checkpoint.
      notes: what the user must know about the checkpoint, such as that it is not the selected one, which is damaged.
    """

    folder: Path
    config: ml_collections.ConfigDict
    defaulted: tuple[str, ...]
    data: Data
    networks: tuple[Classifier, Masker | None]
    states: States
    step: int
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the logits."""
        return self.data.class_names

    @property
    def train_domains(self) -> tuple[str, ...]:
        return self.data.train_domains


def load_trained(run: Path, step: int | None = None) -> TrainedRun:
    """Reads a run from its folder, whether it is complete, was stopped, or is still going on.

    Args:
      run: the run's folder.
      step: whose checkpoint; by default the selected one, and before anything was selected the newest. Where that one
        is damaged or missing, the newest that can be used, which is said in `notes`.

    Raises:
      UserError: no run, nothing saved yet, no checkpoint of that step, or a file that is damaged, or that another
        version of the library wrote.
    """
    check_utf8(run, "--workdir")
    config, defaulted = _read_config(run)
    data = read_data(run)
    folder = run / "checkpoints"
    saved = saved_steps(folder)
    if not saved and (run / "summary.json").exists():
        raise UserError(f"{run} is complete, but its checkpoints are gone; give a whole copy of the run.")
    if not saved:
        raise UserError(f"{run} has no checkpoint yet; wait for its first one, or train it with launch/main.py.")
    if step is not None and step not in saved:
        raise UserError(f"{run} has no checkpoint of step {step}; it has {', '.join(map(str, saved))}.")
    problems: list[str] = []
    verified = functools.cache(verify)  # gigabytes, perhaps
    first = _selected_step(run, saved, verified, problems) if step is None else step
    for chosen in [first, *(other for other in reversed(saved) if other != first)]:
        checkpoint = folder / str(chosen)
        try:
            has_checksums = verified(checkpoint)
            networks, states = _restored(checkpoint, config, len(data.class_names))
        except BrokenFile as error:
            problems.append(error.problem)
            continue
        if problems and step is not None:
            raise UserError(f"{problems[0]}; give --step={chosen}, or a whole copy of the run.")
        notes = [f"{'; '.join(problems)}; the checkpoint of step {chosen} takes its place"] if problems else []
        notes += [] if has_checksums else [without_checksums(checkpoint)]
        return TrainedRun(run, config, defaulted, data, networks, states, chosen, tuple(notes))
    reasons = "; ".join(list(dict.fromkeys(problems))[:3])
    raise UserError(f"No checkpoint in {folder} can be used ({reasons}); give a whole copy of the run.")


def _read_config(run: Path) -> tuple[ml_collections.ConfigDict, tuple[str, ...]]:
    """The run's config over this version's defaults, and the fields that are the defaults'."""
    path = run / "config.json"
    if not run.is_dir():
        raise UserError(f"{run} is not a folder; give a run's folder, the --workdir that it was trained in.")
    if not path.is_file():
        inside = sorted(str(found.parent) for found in run.glob("*/config.json"))
        remedy = f"the runs in it are {', '.join(inside)}" if inside else "give the --workdir that a run was trained in"
        raise UserError(f"{run} is not a run: it has no config.json; {remedy}.")
    config, content = default_config(), with_new_names(read_object(path).content)
    # A method of the user's own brings a group of settings, which using its networks does not need.
    own = {name: group for name, group in content.items() if isinstance(group, dict) and name not in config}
    known = {name: value for name, value in content.items() if name not in own}
    unknown, defaulted = _update(config, known, "config", path)
    config.update(own)
    # Only what the networks need: the data set and the algorithm may be of the user's own making.
    needed = default_config()
    needed.classifier, needed.masker, needed.data.image_size = config.classifier, config.masker, config.data.image_size
    try:
        check(needed)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    # After the check, which says how a masker of the user's own becomes known, and its settings with it.
    if unknown:
        raise UserError(
            f"{path} has what this version of align_jax does not know ({', '.join(unknown)}); use the version that "
            "trained it, or take these fields out if they do not matter to you."
        )
    return config, tuple(defaulted)


def _update(
    config: ml_collections.ConfigDict, values: Mapping[str, Any], name: str, path: Path
) -> tuple[list[str], list[str]]:
    """Puts JSON values into a config; returns the fields that the config lacks, and those that the JSON lacks."""
    unknown = [f"{name}.{field}" for field in values if field not in config]
    defaulted: list[str] = []
    for field, default in config.items():
        if field not in values:
            defaulted.append(f"{name}.{field}")
        elif isinstance(default, ml_collections.ConfigDict) and isinstance(values[field], dict):
            more_unknown, more_defaulted = _update(default, values[field], f"{name}.{field}", path)
            unknown, defaulted = unknown + more_unknown, defaulted + more_defaulted
        else:
            config[field] = _typed(values[field], default, f"{name}.{field}", path)
    return unknown, defaulted


def _typed(value: Any, default: Any, name: str, path: Path) -> Any:
    """A JSON value as the type of a field's default: JSON has lists for tuples, and may have 1 for 1.0."""
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(v, str | int) for v in value):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return as_float(value)
    if type(value) is not type(default):
        is_group = isinstance(default, ml_collections.ConfigDict)
        kind = "a group of fields" if is_group else f"of type {type(default).__name__}"
        raise BrokenFile(path, f"has {shortened(repr(value))} for {name}, which is not {kind}")
    return value


def _selected_step(run: Path, saved: Sequence[int], verified: Callable[[Path], bool], problems: list[str]) -> int:
    """The step that the run selected, so far or for good; the newest where it has not selected any.

    Newer checkpoints that are damaged, and so do not say what was selected, are added to `problems`.
    """
    if (run / "summary.json").is_file():
        return read_object(run / "summary.json").required("best_step", int)
    for newest in reversed(saved):
        checkpoint = run / "checkpoints" / str(newest)
        try:
            verified(checkpoint)
            selected = read_position(checkpoint).selected
        except BrokenFile as error:
            problems.append(error.problem)
            continue
        return int(selected["step"]) if selected else newest
    return saved[-1]


def _restored(
    checkpoint: Path, config: ml_collections.ConfigDict, num_classes: int
) -> tuple[tuple[Classifier, Masker | None], States]:
    """The networks, and the part of their states that is needed to use them."""
    with reading(checkpoint):
        content = ocp.checkpointables_metadata(checkpoint.absolute()).metadata.get("states")
    # A checkpoint's tuples come back as lists.
    if not isinstance(content, Sequence) or len(content) != 2 or not all(map(_is_state, content)) or not content[0]:
        raise BrokenFile(checkpoint, "holds no states of this library")
    # The checkpoint says whether there is a masker.
    networks = build_classifier(config, num_classes), build_masker(config) if content[1] else None
    size = config.data.image_size
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = [
        _shapes(network, image, saved_state, checkpoint) if network else None
        for network, saved_state in zip(networks, content, strict=True)
    ]
    # What the shapes leave out, the optimisers' states, is not read.
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    with reading(checkpoint), context:
        classifier, masker = ocp.load_checkpointables(checkpoint.absolute(), {"states": shapes})["states"]
    return networks, (
        ClassifierState(**classifier, optimizer_state=()),
        MaskerState(**masker, optimizer_state=()) if masker else None,
    )


def _is_state(saved: Any) -> bool:
    return saved is None or (isinstance(saved, Mapping) and (not saved or set(RESTORED) <= set(saved)))


def _shapes(
    network: Classifier | Masker, image: jax.ShapeDtypeStruct, saved: Mapping[str, Any], checkpoint: Path
) -> dict[str, Any]:
    """What to restore, and where to: every array whole on each device, however it was laid out when it was saved."""
    params, batch_stats = jax.eval_shape(network.init, jax.random.key(0), image)
    like = {"step": jax.ShapeDtypeStruct((), jnp.int32), "params": params, "batch_stats": batch_stats}
    expected, found = _flat_shapes(like), _flat_shapes({name: saved[name] for name in RESTORED})
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{checkpoint} does not fit the run's config and classes: {name} is {found.get(name, 'missing')} "
                f"there and {expected.get(name, 'missing')} by config.json and data.json; put back what was there."
            )
    sharding = replicated(data_mesh())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), like)


def _flat_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
