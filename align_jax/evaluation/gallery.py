"""A few examples with their predictions, masks and saliency maps, kept as arrays for the report to draw.

Every run on a data set shows the same examples, so that a page can compare methods, and steps of training.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from align_jax.data.domains import BACKGROUND_ROLES, DomainData, EvaluationSplit, Role, column
from align_jax.evaluation.evaluator import Evaluator
from align_jax.runtime.files import write_arrays
from align_jax.runtime.processes import is_writer
from align_jax.states import States

ROLES = ("ood", "background_shift", "id")
SEED = 0


def gallery_examples(data: DomainData, count: int) -> list[tuple[EvaluationSplit, Int[np.ndarray, " _"]]]:
    """Which examples to show: the roles take turns, the splits of a role take turns, and so do the classes.

    Args:
      data: the data set.
      count: number of examples.

    Returns:
      Each split that has examples to show, with their indices.
    """
    by_role = [[split for split in data.evaluation if split.role == role] for role in ROLES]
    by_role = [splits for splits in by_role if splits]
    chosen: dict[tuple[int, int], list[int]] = {}
    for number in range(count):
        turn, role = divmod(number, len(by_role))
        splits = by_role[role]
        source = splits[turn % len(splits)].source
        taken = chosen.setdefault((role, turn % len(splits)), [])
        order = np.random.Generator(np.random.PCG64([SEED, number])).permutation(len(source))
        fresh = [int(index) for index in order if int(index) not in taken]
        wanted = number % len(data.class_names)
        match = next((index for index in fresh if int(source[index]["label"]) == wanted), None)
        taken.extend([match] if match is not None else fresh[:1])
    return [(by_role[role][split], np.array(indices)) for (role, split), indices in chosen.items() if indices]


def background_examples(data: DomainData) -> list[tuple[EvaluationSplit, Int[np.ndarray, " _"]]]:
    """One object of a training domain and one of a held-out domain, each on all of its backgrounds.

    Returns:
      As `gallery_examples`; first the plain test, where it names the same objects, then aligned, neutral and
      conflicting. Empty for a data set without such tests.
    """
    chosen = []
    for number, (plain, roles) in enumerate(BACKGROUND_ROLES.items()):
        domain = next((split.domain for split in data.evaluation if split.role == roles[0]), None)
        tests = {split.role: split for split in data.evaluation if split.domain == domain}
        random: Role = "background_shift" if plain == "id" and "background_shift" in tests else plain
        shown = [tests[role] for role in (random, *roles) if role in tests]
        if not {roles[0], roles[-1]} <= tests.keys() or not all("object" in split.source[0] for split in shown):
            continue
        objects = [column(split.source, "object") for split in shown]
        if shown[0].role == random and set(objects[0]).isdisjoint(objects[-1]):
            shown, objects = shown[1:], objects[1:]
        shared = sorted(set(objects[0]).intersection(*objects))
        if shared:
            name = shared[int(np.random.Generator(np.random.PCG64([SEED, number])).integers(len(shared)))]
            chosen += [(split, np.array([of.index(name)])) for split, of in zip(shown, objects, strict=True)]
    return chosen


def write_gallery(
    path: Path,
    evaluator: Evaluator,
    states: States,
    examples: list[tuple[EvaluationSplit, Int[np.ndarray, " _"]]],
) -> None:
    """Writes `path` (.npz, no pickles) with, for n examples:

    `image` uint8 [n h w 3], `label`, `predicted` [n], `probability` [n] of the predicted class, `domain`, `role` [n],
    `grad_cam` [n h w] in [0, 1], and if they exist `group` [n], `learned_mask` and `true_mask` [n h w] in [0, 1].
    """
    parts: list[dict[str, np.ndarray]] = []
    for split, indices in examples:
        for batch, explained in evaluator.explained_batches(states, split, indices):
            valid = batch["valid"]
            logits = explained.logits[valid].astype(np.float64)
            probabilities = np.exp(logits - logits.max(-1, keepdims=True))
            probabilities /= probabilities.sum(-1, keepdims=True)
            part = {
                "image": batch["image"][valid],
                "label": batch["label"][valid],
                "predicted": logits.argmax(-1),
                "probability": probabilities.max(-1),
                "domain": np.array([split.domain] * len(logits)),
                "role": np.array([split.role] * len(logits)),
                "grad_cam": explained.grad_cam[valid].astype(np.float16),
            }
            if "group" in batch:
                part["group"] = batch["group"][valid]
            if explained.mask is not None:
                part["learned_mask"] = explained.mask[valid].astype(np.float16)
            if "mask" in batch:
                part["true_mask"] = batch["mask"][valid][..., 0].astype(np.float16) / np.float16(255)
            parts.append(part)
    # A split may have fields that another one lacks.
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in shared}
    if is_writer():
        write_arrays(path, arrays)
