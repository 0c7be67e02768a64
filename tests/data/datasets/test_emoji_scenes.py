"""What `tfds.testing.DatasetBuilderTestCase` would hold (it needs TensorFlow), and the data set's own promises.

The data under test are those of a preparation that was killed and then repaired by two processes at once.
"""

import collections
import dataclasses
import hashlib
import io
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from align_jax.data.datasets.emoji_scenes import EmojiScenes, assets, compose, config_name, prepare
from align_jax.data.datasets.emoji_scenes.concepts import CLASS_SETS, FOLDS, split_concepts
from align_jax.data.datasets.emoji_scenes.emoji_scenes import COMPOSITES, CORRELATIONS, VENDORS
from align_jax.data.datasets.emoji_scenes.layout import (
    BACKGROUND_TESTS,
    OWN_BACKGROUND,
    object_layout,
    objects_of,
    possible_backgrounds,
    scene_layout,
)
from align_jax.errors import UserError

INDEX = assets.load_index()
FIVE = [concept for concept in INDEX.concepts if concept.class_name in CLASS_SETS["five"]]
CLASS_OF = {concept.codepoint: concept.class_name for concept in INDEX.concepts}
SIZE = 32
VERSION = str(EmojiScenes.VERSION)
REPOSITORY = Path(assets.__file__).parents[4]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The data under test, and what was seen while they were prepared."""

    folder: Path
    builder: tfds.core.DatasetBuilder
    existed_after_kill: bool
    leftovers_after_kill: list[Path]
    other_process: tuple[int, str, str]


def start_preparation(folder):
    code = f"from align_jax.data.datasets.emoji_scenes import prepare; prepare({str(folder)!r}, size={SIZE})"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    config_folder = folder / "emoji_scenes" / config_name(size=SIZE)

    victim = start_preparation(folder)
    deadline = time.monotonic() + 120
    while not list(config_folder.glob("incomplete.*/*array_record*")):
        assert victim.poll() is None, victim.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    existed, leftovers = (config_folder / VERSION).exists(), list(config_folder.glob("incomplete.*"))

    other = start_preparation(folder)
    builder = prepare(folder, size=SIZE)
    output, errors = other.communicate(timeout=120)
    return Prepared(folder, builder, existed, leftovers, (other.returncode, output, errors))


@pytest.fixture(scope="module")
def examples(prepared):
    """All examples of all splits, in the order they are stored, images and masks as PNG."""
    skip = {"image": tfds.decode.SkipDecoding(), "mask": tfds.decode.SkipDecoding()}
    splits = prepared.builder.as_data_source(decoders=skip)
    return {split: [source[i] for i in range(len(source))] for split, source in splits.items()}


def decode(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_interrupted_preparation_is_repaired(prepared, examples):
    assert not prepared.existed_after_kill
    assert prepared.leftovers_after_kill
    assert not list(prepared.folder.rglob("*incomplete*"))
    for split, members in examples.items():
        assert len(members) == prepared.builder.info.splits[split].num_examples


def test_two_processes_prepare_at_once_and_quietly(prepared):
    code, output, errors = prepared.other_process
    assert code == 0, errors
    assert output == ""
    assert all(line.startswith("Waiting for another process") for line in errors.splitlines())


def test_second_preparation_touches_nothing(prepared):
    def state():
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in prepared.folder.rglob("*")}

    before = state()
    prepare(prepared.folder, size=SIZE)
    assert state() == before


def test_features(prepared):
    features = prepared.builder.info.features
    assert set(features) == {
        "image", "mask", "label", "domain", "background", "concept", "group", "object", "id"
    }  # fmt: skip
    assert tuple(features["label"].names) == CLASS_SETS["five"]
    assert tuple(features["domain"].names) == VENDORS == tuple(INDEX.atlases)
    assert tuple(features["background"].names) == INDEX.backgrounds

    example = prepared.builder.as_data_source("twemoji_test")[0]
    assert example["image"].shape == (SIZE, SIZE, 3) == features["image"].shape
    assert example["mask"].shape == (SIZE, SIZE, 1) == features["mask"].shape
    assert example["image"].dtype == example["mask"].dtype == np.uint8
    assert example["domain"] == VENDORS.index("twemoji")


def test_labels_agree_with_names(examples):
    for split, members in examples.items():
        vendor, subset = split.split("_", 1)
        for member in members:
            codepoint = member["concept"].decode()
            assert member["id"].decode().startswith(f"{vendor}_{subset}_{codepoint}_")
            assert VENDORS[member["domain"]] == vendor
            assert CLASS_SETS["five"][member["label"]] == CLASS_OF[codepoint]
            assert member["group"].decode() == INDEX.backgrounds[member["background"]]


def test_counts(examples):
    concepts = split_concepts(FIVE, fold=0)
    assert {name: len(members) for name, members in concepts.items()} == {"train": 131, "validation": 36, "test": 58}
    concepts = {subset: concepts[objects_of(subset)] for subset in COMPOSITES}
    assert {split: len(members) for split, members in examples.items()} == {
        f"{vendor}_{subset}": composites * len(concepts[subset])
        for vendor in VENDORS
        for subset, composites in COMPOSITES.items()
    }
    for split, members in examples.items():
        each = collections.Counter(member["concept"].decode() for member in members)
        subset = split.split("_", 1)[1]
        assert each == dict.fromkeys((c.codepoint for c in concepts[subset]), COMPOSITES[subset])


def test_no_example_is_shared(examples):
    everything = [member for members in examples.values() for member in members]
    assert len({member["id"] for member in everything}) == len(everything)
    assert len({member["image"] for member in everything}) == len(everything)


def test_concepts_are_disjoint_and_the_same_for_all_vendors(examples):
    found = {split: {member["concept"] for member in members} for split, members in examples.items()}
    for vendor in VENDORS:
        train, validation, test = (found[f"{vendor}_{name}"] for name in ("train", "validation", "test"))
        assert not train & validation
        assert not train & test
        assert not validation & test
        assert all(found[f"{vendor}_{name}"] == test for name in ("test_random", *BACKGROUND_TESTS))
        assert all(found[f"{vendor}_{name}"] == found[f"noto_{name}"] for name in COMPOSITES)


@pytest.mark.parametrize("class_set", CLASS_SETS)
def test_folds_partition_concepts_and_are_stratified(class_set):
    concepts = [concept for concept in INDEX.concepts if concept.class_name in CLASS_SETS[class_set]]
    splits = [split_concepts(concepts, fold) for fold in FOLDS]
    tests = [concept for split in splits for concept in split["test"]]
    assert len(tests) == len(set(tests)) == len(concepts)
    per_class = collections.Counter(concept.class_name for concept in concepts)
    for split in splits:
        assert sum(map(len, split.values())) == len(set().union(*split.values())) == len(concepts)
        for name, share in (("train", 0.60), ("validation", 0.15), ("test", 0.25)):
            members = collections.Counter(concept.class_name for concept in split[name])
            assert all(abs(members[class_name] - share * n) <= 1.5 for class_name, n in per_class.items())


def test_concept_split_does_not_depend_on_class_set():
    for fold in FOLDS:
        of_all, of_five = split_concepts(INDEX.concepts, fold), split_concepts(FIVE, fold)
        assert all(set(of_five[name]) == set(of_all[name]) & set(FIVE) for name in of_five)


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        # As in the first version of the data set.
        (
            ("train", "validation", "test", "test_random"),
            "fd9d4e9201702dd1590bcc2ecd6820cd34edadafbc3ebb364694728bc41e3498",
        ),
        (BACKGROUND_TESTS, "187d99d2517456eb0a480132f9d82c75553207f451cc8cfbda6b9fde3ff35458"),
    ],
)
def test_pixels_are_those_of_every_other_machine(examples, subsets, expected):
    """Decoded pixels of the first two examples (by id) of the splits, image and mask."""
    digest = hashlib.sha256()
    for split in sorted(f"{vendor}_{subset}" for vendor in VENDORS for subset in subsets):
        for member in sorted(examples[split], key=lambda member: member["id"])[:2]:
            digest.update(decode(member["image"]).tobytes() + decode(member["mask"]).tobytes())
    assert digest.hexdigest() == expected


def scenes(vendor, subset, concepts, numbers, correlation):
    """Layouts of the scenes of a split, by (concept, number)."""
    return {
        (concept.codepoint, number): scene_layout(
            vendor,
            subset,
            concept.codepoint,
            number,
            class_name=concept.class_name,
            backgrounds=INDEX.backgrounds,
            correlation=correlation,
        )
        for concept in concepts
        for number in numbers
    }


def test_pixels_of_larger_images_are_those_of_every_other_machine():
    panoramas = assets.load_panoramas(INDEX)
    digest = hashlib.sha256()
    for vendor in VENDORS:
        emoji = assets.load_emoji(INDEX, vendor)
        for (codepoint, number), scene in scenes(vendor, "train", INDEX.concepts[::40], [0], 0.5).items():
            place = object_layout(vendor, "train", codepoint, number)
            for size in (64, 96, 128):
                image, mask = compose.compose(emoji[codepoint], place, panoramas[scene.background], scene, size)
                digest.update(image.tobytes() + mask.tobytes())
    assert digest.hexdigest() == "b7596f264a2ac65ad8b1442f532a9103f4e30a0947cd27d95fc3e0be0e2726d8"


def test_outside_the_mask_there_is_nothing_but_background(examples):
    """The stored background, mask, image and the layout's functions tell the same story."""
    panoramas = assets.load_panoramas(INDEX)
    inside = changed = 0
    for split in ("noto_train", "openmoji_test", "fluent3d_test_random"):
        vendor, subset = split.split("_", 1)
        correlation = 0.0 if subset == "test_random" else 0.3
        for member in examples[split][:50]:
            codepoint, number = member["id"].decode().removeprefix(f"{split}_").rsplit("_", 1)
            concept = next(concept for concept in FIVE if concept.codepoint == codepoint)
            scene = scenes(vendor, subset, [concept], [int(number)], correlation)[codepoint, int(number)]
            assert INDEX.backgrounds[member["background"]] == scene.background
            image, mask = decode(member["image"]), decode(member["mask"])
            background = compose.render_background(panoramas[scene.background], scene, SIZE)
            np.testing.assert_array_equal(image[mask == 0], background[mask == 0])
            inside += np.count_nonzero(mask > 127)
            changed += np.count_nonzero((image != background).any(axis=-1) & (mask > 127))
    assert changed > 0.98 * inside > 0


def test_objects_lie_inside_and_have_the_asked_size(examples):
    for split in ("noto_train", "openmoji_train"):
        for member in examples[split][:300]:
            rows, columns = np.nonzero(decode(member["mask"]))
            # 36 to 62 of 64 pixels; a faint border may round to nothing.
            assert 16 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 31


def test_tests_show_the_same_objects_on_other_backgrounds(examples):
    def by_object(subset):
        found = {member["object"]: member for member in examples[f"noto_{subset}"]}
        assert len(found) == len(examples[f"noto_{subset}"])
        return found

    correlated = by_object("test")
    for subset in ("test_random", *BACKGROUND_TESTS):
        others = by_object(subset)
        assert correlated.keys() == others.keys()
        for name, member in correlated.items():
            assert member["mask"] == others[name]["mask"]
            assert member["image"] != others[name]["image"]


def test_in_the_background_tests_the_background_is_the_classs_own_or_of_no_class_or_of_another(examples):
    own = {class_name: OWN_BACKGROUND[class_name] for class_name in CLASS_SETS["five"]}
    for vendor in VENDORS:
        groups = {
            subset: [(CLASS_SETS["five"][m["label"]], m["group"].decode()) for m in examples[f"{vendor}_{subset}"]]
            for subset in BACKGROUND_TESTS
        }
        assert all(group == own[class_name] for class_name, group in groups["test_aligned"])
        assert {group for _, group in groups["test_neutral"]} == set(INDEX.backgrounds) - set(OWN_BACKGROUND.values())
        # Every class meets the background of every other class, and only these.
        assert set(groups["test_conflicting"]) == {
            (class_name, own[other]) for class_name in own for other in own if other != class_name
        }


def test_background_tests_differ_only_in_the_panorama():
    for concept in FIVE[:20]:
        views = set()
        for subset in BACKGROUND_TESTS:
            choices = possible_backgrounds(subset, concept.class_name, CLASS_SETS["five"], INDEX.backgrounds)
            scene = scene_layout(
                "noto", subset, concept.codepoint, 3,
                class_name=concept.class_name, backgrounds=choices, correlation=0.0,
            )  # fmt: skip
            assert scene.background in choices
            views.add(dataclasses.replace(scene, background=""))
        assert len(views) == 1


def test_aligned_and_neutral_scenes_are_the_same_with_all_classes():
    for subset in ("test_aligned", "test_neutral"):
        for class_name in CLASS_SETS["five"]:
            five, every = (
                possible_backgrounds(subset, class_name, CLASS_SETS[class_set], INDEX.backgrounds)
                for class_set in ("five", "all")
            )
            assert five == every


def deviation(hits, trials, probability):
    """How many standard deviations a count lies from the expected one."""
    return abs(hits - trials * probability) / math.sqrt(trials * probability * (1 - probability))


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_correlation_is_what_was_asked(correlation):
    backgrounds = [
        (CLASS_OF[codepoint], scene.background)
        for vendor in VENDORS
        for (codepoint, _), scene in scenes(vendor, "train", INDEX.concepts, range(8), correlation).items()
    ]
    own = correlation + (1 - correlation) / len(INDEX.backgrounds)
    for class_name in CLASS_SETS["all"]:
        seen = [background for other, background in backgrounds if other == class_name]
        assert deviation(seen.count(OWN_BACKGROUND[class_name]), len(seen), own) < 4
        for background in INDEX.backgrounds:
            if background != OWN_BACKGROUND[class_name]:
                assert deviation(seen.count(background), len(seen), (1 - correlation) / 18) < 4


def test_correlation_of_the_prepared_data(examples):
    for subset, correlation in (("train", 0.3), ("validation", 0.3), ("test", 0.3), ("test_random", 0.0)):
        members = [member for vendor in VENDORS for member in examples[f"{vendor}_{subset}"]]
        own = sum(
            INDEX.backgrounds[member["background"]] == OWN_BACKGROUND[CLASS_SETS["five"][member["label"]]]
            for member in members
        )
        assert deviation(own, len(members), correlation + (1 - correlation) / 18) < 4


def test_higher_correlation_only_exchanges_backgrounds():
    low, high = (scenes("noto", "train", FIVE, range(16), correlation) for correlation in (0.3, 0.7))
    exchanged = 0
    for (codepoint, number), scene in low.items():
        other = high[codepoint, number]
        assert dataclasses.replace(scene, background=other.background) == other
        if scene.background != other.background:
            assert other.background == OWN_BACKGROUND[CLASS_OF[codepoint]]
            exchanged += 1
    assert deviation(exchanged, len(low), 0.4 * 17 / 18) < 4


def test_every_class_has_a_background_of_its_own():
    assert set(OWN_BACKGROUND) == set(CLASS_OF.values()) == set(CLASS_SETS["all"])
    assert set(OWN_BACKGROUND.values()) <= set(INDEX.backgrounds)
    assert len(set(OWN_BACKGROUND.values())) == len(OWN_BACKGROUND)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 48), (120, 120), (128, 31)])
def test_resize_is_antialiased_bilinear(height, width):
    panorama = assets.load_panoramas(INDEX)["city"]
    for side in (72, 120, 160):
        crop = np.ascontiguousarray(panorama[70 : 70 + side, 30 : 30 + side])
        expected = Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR)
        ours = compose.resize(crop, height, width)
        assert np.abs(ours.astype(int) - np.asarray(expected)).max() <= 1
    np.testing.assert_array_equal(compose.resize(crop, 160, 160), crop)
    assert (compose.resize(np.full((160, 160, 3), 255, np.uint8), height, width) == 255).all()


def test_panorama_closes_on_itself():
    panorama = assets.load_panoramas(INDEX)["park"]
    scene = scenes("noto", "train", FIVE[:1], [0], 0.0)[FIVE[0].codepoint, 0]
    shifted = np.roll(panorama, 300, axis=1)
    for left in (0, 500):
        here = dataclasses.replace(scene, left=left)
        there = dataclasses.replace(scene, left=(left + 300) % 512)
        np.testing.assert_array_equal(
            compose.render_background(panorama, here, 64), compose.render_background(shifted, there, 64)
        )


@pytest.mark.parametrize(
    ("field", "value", "valid"),
    [
        ("correlation", 0.4, "0.0, 0.3, 0.5, 0.7, 0.9"),
        ("fold", 4, "0, 1, 2, 3"),
        ("class_set", "six", "five, all"),
        ("size", 65, "32, 64, 96, 128"),
    ],
)
def test_bad_parameter_is_refused_with_the_valid_ones(tmp_path, field, value, valid):
    with pytest.raises(ValueError, match=rf"no {field} {value!r}: choose one of {valid}\."):
        prepare(tmp_path, **{field: value})
    assert not list(tmp_path.iterdir())


def test_bucket_is_refused():
    with pytest.raises(ValueError, match="gs://bucket/data is not a path on this machine"):
        prepare("gs://bucket/data")


def test_names_of_configurations():
    assert config_name() == "five_correlation0.3_fold0_64px" in EmojiScenes.builder_configs
    assert config_name(correlation=0.0, class_set="all") == "all_correlation0_fold0_64px"
    assert len(EmojiScenes.builder_configs) == 5 * 4 * 2 * 4


def test_data_source_can_be_sent_to_a_worker(prepared):
    source = prepared.builder.as_data_source("noto_test")
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[3]["image"], source[3]["image"])


def test_attribution_ships_with_the_art():
    attribution = (assets.FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for holder in ("Google LLC", "Twitter, Inc.", "OpenMoji", "Microsoft Corporation", "LobeHub", "Poly Haven"):
        assert holder in attribution
    for licence in ("Apache-2.0", "CC BY 4.0", "CC BY-SA 4.0", "MIT", "CC0"):
        assert licence in attribution
    assert "ShareAlike 4.0" in (assets.FOLDER / "openmoji" / "LICENSE.md").read_text(encoding="utf-8")

    package = REPOSITORY / "align_jax"
    patterns = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for path in assets.FOLDER.parent.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            assert any(path.relative_to(package).match(pattern) for pattern in patterns["align_jax"]), path


def test_damage_is_found_when_the_data_set_is_opened(prepared, tmp_path):
    copy = tmp_path / "emoji_scenes" / config_name(size=SIZE) / VERSION
    shutil.copytree(prepared.builder.data_path, copy)
    assert prepare(tmp_path, size=SIZE).info.features["label"].names == prepared.builder.info.features["label"].names
    (copy / "label.labels.txt").write_text("people\n")
    with pytest.raises(UserError, match=r"label.labels.txt is not as it was written"):
        prepare(tmp_path, size=SIZE)
    (copy / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="delete it to prepare anew"):
        prepare(tmp_path, size=SIZE)
