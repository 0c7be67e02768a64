"""The TFDS builder of emoji_scenes, its preparation, and its entry. TensorFlow is not needed."""

import dataclasses
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from align_jax.data.datasets.dataset import Dataset
from align_jax.data.datasets.emoji_scenes import assets
from align_jax.data.datasets.emoji_scenes.compose import compose
from align_jax.data.datasets.emoji_scenes.concepts import CLASS_SETS, FOLDS, Concept, split_concepts
from align_jax.data.datasets.emoji_scenes.layout import (
    BACKGROUND_TESTS,
    object_layout,
    objects_of,
    possible_backgrounds,
    scene_layout,
)
from align_jax.data.domains import BACKGROUND_ROLES, DomainData, EvaluationSplit, Role
from align_jax.data.preparing.once import STOPPED, check_local, open_prepared, prepare_once
from align_jax.data.protocols import training_and_unseen
from align_jax.data.records import Records
from align_jax.errors import UserError
from align_jax.runtime.interruption import stop_if_asked

CORRELATIONS = (0.0, 0.3, 0.5, 0.7, 0.9)
SIZES = (32, 64, 96, 128)

# How many images are composed of each concept, for each vendor.
COMPOSITES = {"train": 16, "validation": 8, "test": 10, "test_random": 10, **dict.fromkeys(BACKGROUND_TESTS, 10)}
# The splits in which a class's own background is as frequent as the configuration's correlation says.
CORRELATED = ("train", "validation", "test")

# A test compares this with the index: to import the builder must not read a file.
VENDORS = ("noto", "twemoji", "openmoji", "fluent3d")


def config_name(correlation: float = 0.3, fold: int = 0, class_set: str = "five", size: int = 64) -> str:
    """The name of a configuration, such as `five_correlation0.3_fold0_64px`; other values raise a UserError."""
    for field, value, valid in (
        ("correlation", correlation, CORRELATIONS),
        ("fold", fold, FOLDS),
        ("class_set", class_set, tuple(CLASS_SETS)),
        ("size", size, SIZES),
    ):
        if value not in valid:
            raise UserError(f"emoji_scenes has no {field} {value!r}: choose one of {', '.join(map(str, valid))}.")
    return f"{class_set}_correlation{correlation:g}_fold{fold}_{size}px"


# Not frozen, because TFDS's base class is not.
@dataclasses.dataclass(eq=False, kw_only=True)
class EmojiScenesConfig(tfds.core.BuilderConfig):
    """One composition of the data set."""

    name: str = dataclasses.field(init=False)
    correlation: float  # the probability that a scene has its class's own background, see `layout.scene_layout`
    fold: int  # which quarter of the concepts is for the test, see `concepts.split_concepts`
    class_set: str  # "five" classes or "all" eight, see `concepts.CLASS_SETS`
    size: int  # side of the images, in pixels

    def __post_init__(self) -> None:
        self.name = config_name(self.correlation, self.fold, self.class_set, self.size)
        self.description = (
            f"{len(CLASS_SETS[self.class_set])} classes, class-background correlation {self.correlation:g}, "
            f"fold {self.fold}, {self.size} x {self.size} pixels."
        )


def encode_png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A PNG of RGB (c = 3) or grey (c = 1) pixels, by the encoder's quickest strategy, which is as small here."""
    file = io.BytesIO()
    image = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()


class EmojiScenes(tfds.core.GeneratorBasedBuilder):
    """Emoji of four vendors on photographs, with true masks; see README.md beside this file."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS's interface)
        "1.0.0": "First release.",
        "1.1.0": "Three more tests of each vendor, test_aligned, test_neutral and test_conflicting, and two more "
        "features, group and object. All else is as before, pixel by pixel.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS's interface)
        EmojiScenesConfig(correlation=correlation, fold=fold, class_set=class_set, size=size)
        for class_set, correlation, fold, size in itertools.product(CLASS_SETS, CORRELATIONS, FOLDS, SIZES)
    ]
    DEFAULT_BUILDER_CONFIG_NAME = config_name()
    # Nothing is downloaded. Without this line TFDS imports a package that may not be installed, to find checksums.
    url_infos: ClassVar[dict[str, Any]] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(config.size, config.size, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(config.size, config.size, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=CLASS_SETS[config.class_set]),
                    "domain": tfds.features.ClassLabel(names=VENDORS),
                    "background": tfds.features.ClassLabel(names=assets.load_index().backgrounds),
                    "concept": tfds.features.Text(doc="Code points of the emoji, joined by `-`."),
                    "group": tfds.features.Text(doc="The name of the background."),
                    "object": tfds.features.Text(doc="What is shown, and where: the same in all tests."),
                    "id": tfds.features.Text(doc="Vendor, split, concept and number; unique."),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # Everything is in the package.
        config = self.builder_config
        index = assets.load_index()
        panoramas = assets.load_panoramas(index)
        concepts = split_concepts(
            (concept for concept in index.concepts if concept.class_name in CLASS_SETS[config.class_set]), config.fold
        )
        concepts = {subset: concepts[objects_of(subset)] for subset in COMPOSITES}
        total = len(VENDORS) * sum(len(concepts[subset]) * COMPOSITES[subset] for subset in COMPOSITES)
        progress = tqdm(total=total, desc=f"Composing {self.name}", unit=" images", leave=False, disable=None)
        return {
            f"{vendor}_{subset}": self._generate_examples(vendor, subset, concepts[subset], emoji, panoramas, progress)
            for vendor in VENDORS
            for emoji in [assets.load_emoji(index, vendor)]
            for subset in COMPOSITES
        }

    def _generate_examples(
        self,
        vendor: str,
        subset: str,
        concepts: list[Concept],
        emoji: dict[str, UInt8[np.ndarray, "h w 4"]],
        panoramas: dict[str, UInt8[np.ndarray, "256 512 3"]],
        progress: Any,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        size, class_names = self.builder_config.size, CLASS_SETS[self.builder_config.class_set]
        correlation = self.builder_config.correlation if subset in CORRELATED else 0.0
        for concept, number in itertools.product(concepts, range(COMPOSITES[subset])):
            stop_if_asked(STOPPED)
            composite = (vendor, subset, concept.codepoint, number)
            scene = scene_layout(
                *composite,
                class_name=concept.class_name,
                backgrounds=possible_backgrounds(subset, concept.class_name, class_names, tuple(panoramas)),
                correlation=correlation,
            )
            place = object_layout(*composite)
            image, mask = compose(emoji[concept.codepoint], place, panoramas[scene.background], scene, size)
            identifier = f"{vendor}_{subset}_{concept.codepoint}_{number:02d}"
            yield (
                identifier,
                {
                    "image": encode_png(image),
                    "mask": encode_png(mask),
                    "label": concept.class_name,
                    "domain": vendor,
                    "background": scene.background,
                    "concept": concept.codepoint,
                    "group": scene.background,
                    "object": f"{vendor}_{objects_of(subset)}_{concept.codepoint}_{number:02d}",
                    "id": identifier,
                },
            )
            progress.update()
            if progress.n == progress.total:
                progress.close()


def prepare(
    data_dir: str | Path, correlation: float = 0.3, fold: int = 0, class_set: str = "five", size: int = 64
) -> tfds.core.DatasetBuilder:
    """Composes the data set under `data_dir`, unless it is there, and returns a builder that reads it.

    For example, `prepare(folder).as_data_source("noto_train")[0]["image"]` is an image.

    Args:
        data_dir: a local folder, which several configurations can share; it is made if it is not there.
        correlation, fold, class_set, size: see `EmojiScenesConfig`; one of `CORRELATIONS`, `FOLDS`, `CLASS_SETS` and
            `SIZES` each.

    Raises:
        UserError: there is no such configuration, or `data_dir` is not a local folder.
    """
    name = config_name(correlation, fold, class_set, size)
    check_local(data_dir)

    def write(workspace: Path) -> None:
        builder = EmojiScenes(config=name, data_dir=data_dir, file_format="array_record")
        # TFDS needs a folder for downloads, although there are none.
        builder.download_and_prepare(download_dir=workspace)

    folder = Path(data_dir, EmojiScenes.name, name, str(EmojiScenes.VERSION))
    prepare_once(folder, write)
    return open_prepared(folder)


def prepare_from(config: ml_collections.ConfigDict) -> tfds.core.DatasetBuilder:
    """`prepare` with the settings of a config's `data`."""
    return prepare(config.prepared, config.correlation, config.fold, config.class_set, config.image_size)


def load(config: ml_collections.ConfigDict) -> DomainData:
    """The data set's own splits, given a config's `data`; test objects of unseen vendors have random backgrounds."""
    builder = prepare_from(config)
    training, unseen = training_and_unseen(builder.info.features["domain"].names, config.protocol, config.domain)

    def split(domain: str, name: str, role: Role) -> EvaluationSplit:
        return EvaluationSplit(domain, name, role, Records(builder, f"{domain}_{name}"))

    roles: tuple[tuple[str, Role], ...]
    roles = ("validation", "validation"), ("test", "id"), ("test_random", "background_shift")
    roles += tuple(zip(BACKGROUND_TESTS, BACKGROUND_ROLES["id"], strict=True))
    evaluation = [split(domain, name, role) for domain in training for name, role in roles]
    roles = (("test_random", "ood"), *zip(BACKGROUND_TESTS, BACKGROUND_ROLES["ood"], strict=True))
    evaluation += [split(domain, name, role) for domain in unseen for name, role in roles]
    return DomainData(
        name="emoji_scenes",
        class_names=tuple(builder.info.features["label"].names),
        train={domain: Records(builder, f"{domain}_train") for domain in training},
        evaluation=evaluation,
        has_masks=True,
    )


DATASET = Dataset(
    load=load,
    title="emoji_scenes",
    domains=VENDORS,
    prepare=prepare_from,
    check=lambda data: config_name(data.correlation, data.fold, data.class_set, data.image_size),
    own_splits=True,
    domains_called="vendors",
    examples_called="concepts",
    citation=Path(__file__).with_name("CITATIONS.bib"),
)
