"""The compiled evaluation of a classifier and its masker, batch by batch. `scores.py` says what is computed.

Several processes share every batch: each reads its own rows, and all of them get the scores of all rows.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jaxtyping import Array, Int

from align_jax.data.domains import EvaluationSplit
from align_jax.data.normalise import as_network_input
from align_jax.data.pipeline import DEVICE_FIELDS, evaluation_batches
from align_jax.data.splits import seeded_subset
from align_jax.evaluation.explained_methods import CONTROL_SEED, control_keys, controls_of, score_of
from align_jax.evaluation.scores import (
    ExplainedBatch,
    by_class,
    by_group,
    explain,
    scores,
    summarise,
)
from align_jax.forward import Batch
from align_jax.networks import Classifier, Masker
from align_jax.runtime.processes import gathered
from align_jax.runtime.sharding import compile_step, own_rows, place_batch
from align_jax.states import States


class Stopped(Exception):
    """An evaluation was asked to stop before it was complete; its results so far are dropped."""


class Evaluator:
    """The evaluation that a config asks for; each program is compiled when it is first needed."""

    def __init__(
        self,
        networks: tuple[Classifier, Masker | None],
        mesh: jax.sharding.Mesh,
        config: ml_collections.ConfigDict,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Reads `config.evaluation`, `config.explain`, and the image size and threads of `config.data`.

        Args:
          networks: the classifier, and the masker if one was trained.
          mesh: the devices.
          config: the whole run's.
          stop: called before each batch; if it returns True, the evaluation raises `Stopped`. It must do so in all
            processes, or in none.
        """
        self._mesh, self._data, self._stop = mesh, config.data, stop
        self._rows = own_rows(mesh, config.evaluation.batch_size)
        self._evaluation, self._explain_settings = config.evaluation, config.explain

        @jax.named_scope("evaluation")
        def explained(states: States, batch: Batch) -> ExplainedBatch:
            return explain(*networks, config.explain.target, *states, batch)

        def scored(states: States, batch: Batch) -> dict[str, Array]:
            batch = as_network_input(batch)
            return scores(explained(states, batch), batch)

        def faithful(states: States, batch: Batch, number: Int[Array, ""]) -> dict[str, Array]:
            batch = as_network_input(batch)
            size = config.evaluation.batch_size
            keys = control_keys(number * size + jnp.arange(size))
            masks = {"mask": batch["mask"][..., 0]} if "mask" in batch else {}
            score = score_of(networks, config.explain, with_masks=bool(masks), controls=controls_of(config.explain))
            with jax.named_scope("faithfulness"):
                values = score(states, batch | {"key": keys} | masks)
            return {f"{method}/{metric}": v for method, of in values.items() for metric, v in of.items()}

        self._scores = compile_step(scored, mesh)
        self._faithfulness = compile_step(faithful, mesh)
        self._explain = compile_step(lambda states, batch: explained(states, as_network_input(batch)), mesh)

    def examples(self, states: States, split: EvaluationSplit) -> dict[str, np.ndarray]:
        """Scores of every example of a split, with its `id`, its `label` and the source's other text fields."""
        return self._collect(lambda batch, number: self._scores(states, batch), split, None)

    def results(
        self, states: States, split: EvaluationSplit, class_names: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """A split's metrics, as `summary.json` has them, and the examples' scores that they come from.

        Explanations are scored on a seeded subset of at most `config.explain.images` examples, but not for a split that
        is evaluated only at the end. The first method's metrics have their own names, the random map's begin with
        `random_`, and those of other methods, with all controls, are in `further_methods`.

        Args:
          states: classifier and masker.
          split: what to evaluate.
          class_names: in the order of the logits.
        """
        examples = self.examples(states, split)
        means = summarise(examples)
        if not split.only_at_the_end:
            subset = seeded_subset(len(split.source), self._explain_settings.images, CONTROL_SEED)
            faithful = self._collect(
                lambda batch, number: self._faithfulness(states, batch, np.int32(number)), split, subset
            )
            means = _of_methods(summarise(faithful), self._explain_settings) | means
            means["faithfulness_images"] = len(subset)
        means |= {"per_class_accuracy": by_class(examples, class_names)} | by_group(examples, class_names)
        return means, examples

    def explained_batches(
        self, states: States, split: EvaluationSplit, indices: np.ndarray
    ) -> Iterator[tuple[dict[str, Any], ExplainedBatch]]:
        """Whole batches on the host (`valid` marks padding) with their explanations; every process reads all images."""
        for batch in self._batches(split, indices, np.arange(self._evaluation.batch_size)):
            own = {name: values[self._rows] for name, values in batch.items()}
            yield batch, jax.device_get(self._explain(states, self._place(own)))

    def _batches(
        self, split: EvaluationSplit, indices: np.ndarray | None, rows: np.ndarray
    ) -> Iterator[dict[str, Any]]:
        return evaluation_batches(
            split.source,
            size=self._data.image_size,
            batch_size=self._evaluation.batch_size,
            threads=self._data.threads,
            indices=indices,
            rows=rows,
        )

    def _place(self, batch: dict[str, Any]) -> Batch:
        return place_batch(self._mesh, {name: batch[name] for name in DEVICE_FIELDS if name in batch})

    def _collect(
        self, program: Callable[[Batch, int], dict[str, Array]], split: EvaluationSplit, indices: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """A program's values and the host's fields for each example, without the last batch's padding."""
        size = self._evaluation.batch_size
        examples = len(split.source) if indices is None else len(indices)
        fields: list[dict[str, np.ndarray]] = []
        scores: list[dict[str, np.ndarray]] = []
        for number, batch in enumerate(self._batches(split, indices, self._rows)):
            if self._stop():
                raise Stopped
            values = {name: v for name, v in batch.items() if v.ndim == 1 and name not in ("domain", "valid")}
            fields.append({name: np.asarray(value)[batch["valid"]] for name, value in values.items()})
            values = jax.device_get(program(self._place(batch), number))
            scores.append({name: np.asarray(v)[: examples - number * size] for name, v in values.items()})
        own = {name: np.concatenate([part[name] for part in fields]) for name in fields[0]}
        places = np.concatenate([number * size + self._rows for number in range(len(fields))])
        if len(self._rows) < size:
            own = _of_all_processes(own, places[places < examples])
        return own | {name: np.concatenate([part[name] for part in scores]) for name in scores[0]}


def _of_all_processes(own: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of all examples, where each process has those of the examples at some places."""
    listed = {name: values.tolist() for name, values in own.items()}
    parts = [json.loads(part) for part in gathered(json.dumps([places.tolist(), listed]).encode())]
    order = np.argsort(np.concatenate([np.array(places, np.int64) for places, _ in parts]))
    found = {}
    for name, values in own.items():
        kind = None if values.dtype.kind == "U" else values.dtype  # a text as long as the longest of any process
        found[name] = np.array([value for _, fields in parts for value in fields[name]], kind)[order]
    return found


def _of_methods(means: Mapping[str, float], settings: ml_collections.ConfigDict) -> dict[str, Any]:
    """Means by `METHOD/METRIC` as a result has them, see `Evaluator.results`."""
    first, *others = settings.methods
    found: dict[str, Any] = {}
    for name, value in means.items():
        method, _, metric = name.partition("/")
        if method in (first, "random"):
            found[metric if method == first else f"random_{metric}"] = value
    if others:
        found["further_methods"] = {
            method: {name.removeprefix(f"{method}/"): v for name, v in means.items() if name.startswith(f"{method}/")}
            for method in (*others, *controls_of(settings))
        }
    return found
