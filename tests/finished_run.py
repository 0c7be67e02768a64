"""A run folder as the trainer leaves it, with a made-up gallery: coloured blobs on coloured stripes."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from align_jax.data.domains import BACKGROUND_ROLES
from align_jax.runs.read import Result, Run

TESTS = [
    ("validation", "validation", "noto"),
    ("validation", "validation", "twemoji"),
    ("test", "id", "noto"),
    ("test", "id", "twemoji"),
    ("test_random", "background_shift", "noto"),
    ("test_random", "background_shift", "twemoji"),
    ("test_random", "ood", "fluent3d"),
]
CLASS_NAMES = ["mammal", "produce", "vehicle", "building", "clothing"]
WARMUP, STEPS = 240, 600
# What every summary says, beside its results.
BARE = {
    "algorithm": "erm",
    "guidance": "none",
    "dataset": "letters",
    "protocol": "leave_one_out",
    "domain": "x",
    "seed": 0,
    "step": None,
    "best_step": None,
    "selection": "last",
    "validation_accuracy": None,
    "train_domains": ("y",),
    "held_out_domains": ("x",),
    "class_names": ("a", "b"),
}


def gallery_arrays(count: int = 8, side: int = 64, seed: int = 0, skill: float = 1.0) -> dict[str, np.ndarray]:
    """Discs on stripes, their masks, and Grad-CAMs that sit the better on the disc the higher `skill` is."""
    rng = np.random.default_rng(0)
    noise = np.random.default_rng(seed + 1)
    rows, columns = np.mgrid[:side, :side] / side
    image = np.zeros((count, side, side, 3), np.uint8)
    true, learned, cam = (np.zeros((count, side, side), np.float32) for _ in range(3))
    for i in range(count):
        y, x = rng.uniform(0.35, 0.65, 2)
        radius, angle = rng.uniform(0.2, 0.32), rng.uniform(0, np.pi)
        distance = np.hypot((rows - y) * rng.uniform(0.8, 1.4), columns - x)
        true[i] = distance < radius
        stripes = 0.5 + 0.5 * np.sin(30 * (np.cos(angle) * rows + np.sin(angle) * columns) + rng.uniform(0, 6))
        ground = rng.uniform(60, 200, 3) * (0.7 + 0.3 * stripes[..., None])
        disc = rng.uniform(0, 255, 3) * (1.1 - 0.8 * distance[..., None])
        image[i] = np.clip(np.where(true[i][..., None] > 0, disc, ground) + rng.normal(0, 6, (side, side, 3)), 0, 255)
        learned[i] = 1 / (1 + np.exp((distance - radius * 1.1) / 0.03)) * noise.uniform(0.85, 1.0)
        off = (1 - skill) * noise.normal(0, 0.35, 2)
        spread = 0.02 + 0.06 * (1 - skill)
        cam[i] = np.exp(-((rows - y - off[0]) ** 2 + (columns - x - off[1]) ** 2) / (2 * spread))
    label = np.arange(count) % len(CLASS_NAMES)
    wrong = noise.random(count) > 0.4 + 0.5 * skill
    tests = [test for test in TESTS if test[1] != "validation"]
    return {
        "image": image,
        "label": label,
        "predicted": (label + wrong) % len(CLASS_NAMES),
        "probability": noise.uniform(0.4, 0.99, count).astype(np.float32),
        "domain": np.array([tests[i % len(tests)][2] for i in range(count)]),
        "role": np.array([tests[i % len(tests)][1] for i in range(count)]),
        "grad_cam": cam,
        "learned_mask": learned,
        "true_mask": true,
    }


def metrics_lines(algorithm: str, better: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(len(algorithm))
    lines: list[dict[str, Any]] = []
    for step in range(20, STEPS + 1, 20):
        guided = algorithm != "erm"
        done = step / STEPS
        line = {
            "step": step,
            "split": "train",
            "phase": "warmup" if step <= WARMUP else "rounds",
            "classifier/loss": 2.2 * np.exp(-3 * done) + 0.3 + rng.normal(0, 0.04),
            "classifier/cls": 1.6 * np.exp(-3 * done) + rng.normal(0, 0.03),
            "classifier/accuracy": 0.2 + 0.6 * (1 - np.exp(-3 * done)) + rng.normal(0, 0.02),
            "images_per_s": 310 + rng.normal(0, 9),
            "data_wait_fraction": 0.01 + abs(rng.normal(0, 0.003)),
            "seconds/compute": 231.0 * done,
            "learning_rate": 1e-3 * 0.5 * (1 + np.cos(np.pi * done)),
        }
        if guided:
            line |= {
                "classifier/consistency": 0.2 * np.exp(-2 * done) + rng.normal(0, 0.005),
                "classifier/sparsity": 0.3 + rng.normal(0, 0.01),
                "classifier/mixed_cls": 1.7 * np.exp(-2 * done) + rng.normal(0, 0.03),
            }
        if guided and step > WARMUP:
            line |= {
                "classifier/egl": 0.7 - 0.3 * done + rng.normal(0, 0.01),
                "masker/loss": 1.5 - done + rng.normal(0, 0.03),
                "masker/distinction": 0.9 - 0.5 * done + rng.normal(0, 0.02),
                "masker/sparsity": 0.35 + rng.normal(0, 0.01),
                "masker/smoothness": 0.05 + rng.normal(0, 0.003),
                "masker/mask_mean": 0.34 + rng.normal(0, 0.01),
            }
        lines.append(line)
        if step % 120 == 0:
            for i, (split, role, domain) in enumerate(TESTS):
                accuracy = 0.25 + (0.52 - 0.04 * i) * (1 - np.exp(-3 * done)) + better + rng.normal(0, 0.01)
                evaluation = {
                    "step": step,
                    "split": split,
                    "domain": domain,
                    "role": role,
                    "examples": 560,
                    "accuracy": accuracy,
                    "auc": min(0.99, accuracy + 0.2),
                    "loss": 1.5 - accuracy,
                    "cam_energy": 0.4 + better + 0.05 * done,
                }
                if guided and step > WARMUP:
                    evaluation["mask_iou"] = 0.5 * done
                lines.append(evaluation)
    return lines


def summary(algorithm: str, better: float) -> dict[str, Any]:
    results = []
    for i, (split, role, domain) in enumerate(TESTS):
        result = {
            "domain": domain,
            "role": "id" if role == "validation" else role,
            "split": split,
            "examples": 560,
            "accuracy": 0.74 - 0.02 * i + better,
            "accuracy_standard_error": 0.019,
            "auc": 0.92 - 0.02 * i + better,
            "cam_energy": 0.45 + 2 * better,
        }
        if role != "validation":
            result |= {
                "faithfulness_images": 128,
                "comprehensiveness": 0.21 + better,
                "random_comprehensiveness": 0.05,
                "sufficiency": 0.31 - better,
                "random_sufficiency": 0.44,
                "insertion_auc": 0.52 + better,
                "random_insertion_auc": 0.33,
            }
        if algorithm != "erm":
            result["mask_iou"] = 0.49 - 0.005 * i
        results.append(result)
    return {
        "algorithm": algorithm,
        "dataset": "emoji_scenes",
        "protocol": "leave_one_out",
        "domain": "fluent3d",
        "seed": 0,
        "step": STEPS,
        "best_step": 480,
        "train_domains": ["noto", "twemoji"],
        "held_out_domains": ["fluent3d"],
        "num_classes": len(CLASS_NAMES),
        "class_names": CLASS_NAMES,
        "guidance": "none" if algorithm == "erm" else "learned",
        "selection": "training_domain_validation",
        "results": results,
        "timing": {
            "wall_s": 312.4,
            "start_s": 1.2,
            "data_s": 2.1,
            "compile_s": 21.8,
            "compute_s": 231.0,
            "evaluation_s": 52.0,
            "saving_s": 3.5,
            "other_s": 0.8,
            "data_wait_fraction": 0.012,
            "images_per_s": 309.0,
        },
    }


def bare_run(path: pathlib.Path, algorithm: str, results: Sequence[Result], **changed: Any) -> Run:
    """A run that was read, with no more than what every run has."""
    return Run(**(BARE | {"path": path, "algorithm": algorithm, "results": tuple(results), "config": {}} | changed))


def write_run(run: pathlib.Path, algorithm: str = "align", better: float = 0.02, images: int = 8) -> pathlib.Path:
    """A complete run folder; ERM leaves no learned masks and no gallery from before the guidance."""
    (run / "gallery").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"algorithm": {"name": algorithm}, "optim": {"lr": 0.001}}))
    (run / "summary.json").write_text(json.dumps(summary(algorithm, better)))
    lines = metrics_lines(algorithm, better)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    final = gallery_arrays(images, seed=1, skill=0.5 if algorithm == "erm" else 1.0)
    if algorithm == "erm":
        del final["learned_mask"]
    else:
        before = gallery_arrays(images, seed=2, skill=0.4)
        del before["learned_mask"]
        np.savez(run / "gallery" / "before_guidance.npz", **before)
    np.savez(run / "gallery" / "final.npz", **final)
    return run


def add_background_tests(run: pathlib.Path, flipped: int, concepts: int = 10) -> pathlib.Path:
    """Adds tests on aligned, neutral and conflicting backgrounds, two objects of each concept in each domain.

    All predictions are right but those of the first `flipped` concepts on conflicting backgrounds.
    """
    count = 2 * concepts
    concept = np.repeat([f"c{number}" for number in range(concepts)], 2)
    content = json.loads((run / "summary.json").read_text())
    arrays: dict[str, np.ndarray] = {}
    gaps = []
    for plain, roles in BACKGROUND_ROLES.items():
        for domain in content["train_domains"] if plain == "id" else content["held_out_domains"]:
            objects = np.array([f"{domain}_test_{number:03}" for number in range(count)])
            for role, kind in zip(roles, ("aligned", "neutral", "conflicting"), strict=True):
                wrong = (np.arange(count) < 2 * flipped) & (kind == "conflicting")
                # Each split has an order of its own.
                order = np.random.default_rng(len(role)).permutation(count)
                split = f"test_{kind}"
                fields = {
                    "probabilities": np.eye(5)[np.where(wrong, 1, 0)],
                    "label": np.zeros(count, np.int64),
                    "concept": concept,
                    "object": objects,
                    "id": np.char.add(f"{kind}_", objects),
                }
                arrays |= {f"{domain}/{split}/{name}": values[order] for name, values in fields.items()}
                accuracy = 1 - float(wrong.mean())
                row = {"domain": domain, "role": role, "split": split, "examples": count, "accuracy": accuracy}
                content["results"].append(row | {"worst_group_accuracy": accuracy - 0.25})
            gap = {"domain": domain, "role": plain, "examples": count, "gap": flipped / concepts}
            gaps.append(gap | {"gap_standard_error": 0.1, "flips": flipped / concepts, "flips_standard_error": 0.1})
    (run / "summary.json").write_text(json.dumps(content | {"background_gaps": gaps}))
    np.savez(run / "predictions.npz", **arrays)
    shown = gallery_arrays(8, seed=1)
    shown["label"][:] = 0
    shown["predicted"] = np.array([0, 0, 0, 1 if flipped else 0] * 2)
    shown["domain"] = np.array(["noto"] * 4 + ["fluent3d"] * 4)
    shown["role"] = np.array(["background_shift", *BACKGROUND_ROLES["id"], "ood", *BACKGROUND_ROLES["ood"]])
    shown["group"] = np.array(["sky", "park", "lab", "city"] * 2)
    np.savez(run / "gallery" / "backgrounds.npz", **shown)
    return run


@pytest.fixture
def make_run(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Makes a run folder named after its algorithm."""

    def make(algorithm: str = "align", better: float = 0.02, images: int = 3) -> pathlib.Path:
        return write_run(tmp_path / algorithm, algorithm, better, images)

    return make
