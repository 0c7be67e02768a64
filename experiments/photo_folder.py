"""A folder of photographs with a background problem, laid out as a user would have it, for docs/your_data.md.

    python -m experiments.photo_folder --to=photos

Writes `photos/DOMAIN/CLASS/IMAGE.jpg`, 128 pixels a side, and `photos/groups.csv` with each image's background and
object. The pieces are those of emoji_scenes: `noto` and `twemoji` show each class on its own background nearly always,
and `fluent3d` shows other objects, each on all backgrounds.
"""

import argparse
import dataclasses
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from align_jax.cli.exit_status import exit_status
from align_jax.data.datasets.emoji_scenes import assets
from align_jax.data.datasets.emoji_scenes.compose import compose
from align_jax.data.datasets.emoji_scenes.concepts import Concept, split_concepts
from align_jax.data.datasets.emoji_scenes.layout import OWN_BACKGROUND, SceneLayout, object_layout, scene_layout
from align_jax.errors import UserError, one_line
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import local_path
from align_jax.tables.csv_text import csv_text

CLASSES = ("produce", "vehicle", "clothing")
NEUTRAL = "bridge"
BACKGROUNDS = (*(OWN_BACKGROUND[name] for name in CLASSES), NEUTRAL)
TRAINED, HELD_OUT = ("noto", "twemoji"), "fluent3d"
SIDE, QUALITY = 128, 90
# Names where objects go; emoji_scenes' splits have other places.
SUBSET = "photographs"
# The probability that a training image is put on its class's own background; otherwise it is on any of the four.
CORRELATION = 0.85


class Photograph(NamedTuple):
    """An image, where it lies, and what groups.csv says of it: its background and its object."""

    path: str
    group: str
    object: str
    pixels: UInt8[np.ndarray, "128 128 3"]


def photographs(per_object: int = 6) -> Iterator[Photograph]:
    """All images, in the order of domain, object and number.

    Args:
      per_object: how many images of each object a training domain has. The held-out domain has a third of that, at
        least one, on each of the four backgrounds.
    """
    index = assets.load_index()
    panoramas = assets.load_panoramas(index)
    split = split_concepts((concept for concept in index.concepts if concept.class_name in CLASSES), fold=0)
    for domain in (*TRAINED, HELD_OUT):
        emoji = assets.load_emoji(index, domain)
        for concept in split["test" if domain == HELD_OUT else "train"]:
            for number, (shot, scene) in enumerate(_scenes(domain, concept, per_object)):
                place = object_layout(domain, SUBSET, concept.codepoint, shot)
                image, _ = compose(emoji[concept.codepoint], place, panoramas[scene.background], scene, SIDE)
                name = concept.name.lower().replace(" ", "_")
                yield Photograph(
                    f"{domain}/{concept.class_name}/{name}_{number:02d}.jpg", scene.background, name, image
                )


def _scenes(domain: str, concept: Concept, per_object: int) -> Iterator[tuple[int, SceneLayout]]:
    """What is behind an object in each of its images, and the number that says where the object is."""
    held_out = domain == HELD_OUT
    for shot in range(max(1, per_object // 3) if held_out else per_object):
        scene = scene_layout(
            domain,
            SUBSET,
            concept.codepoint,
            shot,
            class_name=concept.class_name,
            backgrounds=BACKGROUNDS,
            correlation=CORRELATION,
        )
        for background in BACKGROUNDS if held_out else (scene.background,):
            yield shot, dataclasses.replace(scene, background=background)


def write(folder: Path, per_object: int = 6) -> int:
    """Writes the images and groups.csv, and returns the number of images.

    Raises:
      UserError: the folder has something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--to={one_line(str(folder))} is there already; name a new folder, or delete this one.")
    rows = []
    for photograph in photographs(per_object):
        file = io.BytesIO()
        Image.fromarray(photograph.pixels).save(file, "JPEG", quality=QUALITY)
        write_atomically(folder / photograph.path, file.getvalue())
        rows.append(photograph[:3])
    write_atomically(folder / "groups.csv", csv_text(("path", "group", "object"), rows).encode())
    return len(rows)


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, help="the folder to write")
    parser.add_argument("--per_object", type=int, default=6, help="images of an object in a training domain")
    arguments = parser.parse_args()

    def run() -> None:
        if arguments.per_object < 1:
            raise UserError(f"--per_object is {arguments.per_object}; it must be at least 1.")
        folder = local_path(arguments.to, "--to")
        print(f"{write(folder, arguments.per_object):,} images and groups.csv: {one_line(str(folder))}")

    return exit_status(
        run,
        on_os_error="can --to be written, and is there room?",
        on_interrupt="some images were written; delete the folder and begin again.",
    )


if __name__ == "__main__":
    sys.exit(main())
