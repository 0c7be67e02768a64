"""A trained run, back from its folder alone: no data set, no optimiser, whatever devices it was trained on.

The folder may come from someone else: its JSON is checked field by field against this version's defaults, and of its
checkpoints only arrays are read, after their shapes were found to be those of the networks that the config names.
"""

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from orbax.checkpoint import v1 as ocp

from align_jax.configuration import check, default_config
from align_jax.errors import UserError
from align_jax.models.build import build_classifier, build_masker
from align_jax.networks import Classifier, Masker
from align_jax.runs.checkpoints import saved_steps
from align_jax.runtime.sharding import data_mesh, replicated
from align_jax.states import ClassifierState, MaskerState, States

# What using a network takes; the optimisers' states, twice as large, stay on disk.
RESTORED = ("step", "params", "batch_stats")


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """What a run has learned, and what it learned it from.

    Attributes:
      folder: the run's.
      config: what it was trained with.
      defaulted: fields that its `config.json` did not have, as in `config.FIELD`; they have this version's defaults.
      data: what it was trained on, as its `data.json` says (see `data.domains.describe_data`).
      class_names: in the order of the logits.
      train_domains: the domains it was trained on.
      networks: classifier, and masker where one was trained.
      states: of both, replicated over the devices there are now, without the optimisers' states.
      step: whose checkpoint this is.
    """

    folder: Path
    config: ml_collections.ConfigDict
    defaulted: tuple[str, ...]
    data: Mapping[str, Any]
    class_names: tuple[str, ...]
    train_domains: tuple[str, ...]
    networks: tuple[Classifier, Masker | None]
    states: States
    step: int


def load_trained(run: Path, step: int | None = None) -> TrainedRun:
    """Reads a run from its folder, whether it is complete, was stopped, or is still going on.

    Args:
      run: the run's folder.
      step: whose checkpoint; by default the selected one, and before anything was selected the newest.

    Raises:
      UserError: no run, nothing saved yet, no checkpoint of that step, or a file that is damaged, or that another
        version of the library wrote.
    """
    config, defaulted = _read_config(run)
    data = _read_data(run)
    saved = saved_steps(run / "checkpoints")
    if not saved:
        raise UserError(f"{run} has no checkpoint yet; wait for its first one, or train it with launch/main.py.")
    chosen = _selected_step(run, saved) if step is None else step
    if chosen not in saved:
        raise UserError(f"{run} has no checkpoint of step {chosen}; it has {_listed(list(map(str, saved)))}.")
    checkpoint = run / "checkpoints" / str(chosen)
    with _quiet():
        content = _metadata(checkpoint).metadata.get("states")
    # A checkpoint's tuples come back as lists.
    if not isinstance(content, Sequence) or len(content) != 2 or not all(map(_is_state, content)) or not content[0]:
        raise UserError(
            f"{checkpoint} holds no states of this library, or is damaged; give another --step, or a whole "
            "copy of the run."
        )
    # Whether there is a masker is the checkpoint's to say.
    networks = build_classifier(config, len(data["class_names"])), build_masker(config) if content[1] else None
    size = config.data.image_size
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = [
        _shapes(network, image, saved_state, checkpoint) if network else None
        for network, saved_state in zip(networks, content, strict=True)
    ]
    classifier, masker = _restore(checkpoint, shapes)
    return TrainedRun(
        folder=run,
        config=config,
        defaulted=defaulted,
        data=data,
        class_names=tuple(data["class_names"]),
        train_domains=tuple(data["train_domains"]),
        networks=networks,
        states=(
            ClassifierState(**classifier, optimizer_state=()),
            MaskerState(**masker, optimizer_state=()) if masker else None,
        ),
        step=chosen,
    )


def _read_config(run: Path) -> tuple[ml_collections.ConfigDict, tuple[str, ...]]:
    """The run's config over this version's defaults, and the fields that are the defaults'."""
    path = run / "config.json"
    if not run.is_dir():
        raise UserError(f"{run} is no folder; give a run's folder, the --workdir that it was trained in.")
    if not path.is_file():
        inside = sorted(str(found.parent) for found in run.glob("*/config.json"))
        remedy = f"the runs in it are {_listed(inside)}" if inside else "give the --workdir that a run was trained in"
        raise UserError(f"{run} is no run, for it has no config.json; {remedy}.")
    config, content = default_config(), _read_object(path)
    # A method of the user's own brings a group of settings, which using its networks does not need.
    own = {name: group for name, group in content.items() if isinstance(group, dict) and name not in config}
    known = {name: value for name, value in content.items() if name not in own}
    unknown, defaulted = _update(config, known, "config", path)
    config.update(own)
    if unknown:
        raise UserError(
            f"{path} has what this version of align_jax does not know ({_listed(unknown)}); use the version that "
            "trained it, or take these fields out if they do not matter to you."
        )
    # Only what the networks need: the data set and the algorithm may be of the user's own making.
    needed = default_config()
    needed.classifier, needed.masker, needed.data.image_size = config.classifier, config.masker, config.data.image_size
    try:
        check(needed)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
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
        return float(value)
    if type(value) is not type(default):
        kind = type(default).__name__ if not isinstance(default, ml_collections.ConfigDict) else "group of fields"
        raise UserError(f"{path} has {value!r} for {name}, which is no {kind}; put back what was there.")
    return value


def _read_data(run: Path) -> Mapping[str, Any]:
    """What `data.json` says; where there is none (earlier versions wrote none), what `summary.json` says."""
    path = run / "data.json"
    if path.is_file():
        data = _read_object(path)
    elif (run / "summary.json").is_file():
        path = run / "summary.json"
        summary = _read_object(path)
        fields = ("class_names", "train_domains", "protocol", "domain")
        data = {"name": summary.get("dataset")} | {field: summary[field] for field in fields if field in summary}
    else:
        raise UserError(f"{run} has neither data.json nor summary.json, which name its classes; put data.json back.")
    names, domains = data.get("class_names"), data.get("train_domains")
    if not _are_names(names) or not _are_names(domains) or not isinstance(data.get("name"), str):
        raise UserError(
            f"{path} does not say what the run was trained on (a name, class_names and train_domains, each name once); "
            "put back what was there."
        )
    return data


def _are_names(value: Any) -> bool:
    return (isinstance(value, list) and len(value) > 0 and all(isinstance(v, str) for v in value)) and len(
        set(value)
    ) == len(value)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); put back what was there.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not an object; put back what was there.")
    return content


def _selected_step(run: Path, saved: Sequence[int]) -> int:
    """The step that the run selected, so far or for good; the newest where it has not selected any."""
    if (run / "summary.json").is_file():
        step = _read_object(run / "summary.json").get("best_step")
        if type(step) is not int:
            raise UserError(f"{run / 'summary.json'} names no best_step; put back what was there, or give a --step.")
        return step
    with _quiet():
        # `checkpoints.Position`, but from a file that may say anything.
        position = _metadata(run / "checkpoints" / str(saved[-1])).custom_metadata
    selected = position.get("selected") if isinstance(position, dict) else None
    step = selected.get("step") if isinstance(selected, dict) else None
    return step if type(step) is int and step in saved else saved[-1]


def _metadata(checkpoint: Path) -> Any:
    """Orbax's description of a checkpoint: the shapes of its arrays, and what was saved beside them."""
    try:
        return ocp.checkpointables_metadata(checkpoint.absolute())
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(checkpoint, error) from error


def _is_state(saved: Any) -> bool:
    return saved is None or (isinstance(saved, Mapping) and (not saved or set(RESTORED) <= set(saved)))


def _shapes(
    network: Classifier | Masker, image: jax.ShapeDtypeStruct, saved: Mapping[str, Any], checkpoint: Path
) -> dict[str, Any]:
    """What to restore, and where to: every array whole on each device, however it lay when it was saved."""
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


def _restore(checkpoint: Path, like: list[dict[str, Any] | None]) -> Any:
    # What `like` leaves out, the optimisers' states, is not read.
    context = ocp.Context()
    context.pytree.loading.partial_load = True
    try:
        with _quiet(), context:
            return ocp.load_checkpointables(checkpoint.absolute(), {"states": like})["states"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(checkpoint, error) from error


def _damaged(checkpoint: Path, error: Exception) -> UserError:
    return UserError(
        f"{checkpoint} cannot be read ({type(error).__name__}): it is damaged, or another version of Orbax wrote it; "
        "give another --step, or a whole copy of the run."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax tells what it does, and what went wrong, on absl's logger; what went wrong also comes as an exception."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
