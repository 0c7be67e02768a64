"""Small image files for tests."""

import json

import cv2
import numpy as np
import pytest

from align_jax.errors import UserError


def pixels(seed, height=12, width=16, channels=3):
    """Smooth noise: JPEG keeps it nearly as it is."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, channels), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)


def write_image(path, seed=0, **size):
    """Writes an image whose format is that of its name; returns the file's bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = cv2.imencode(path.suffix.lower(), pixels(seed, **size))[1].tobytes()
    path.write_bytes(content)
    return content


def write_domains(folder, domains, classes, images=2, suffix=".jpg"):
    """folder/DOMAIN/CLASS/N.jpg, all different."""
    seed = 0
    for domain in domains:
        for name in classes:
            for number in range(images):
                seed += 1
                write_image(folder / domain / name / f"{number}{suffix}", seed)
    return folder


def read_all(builder):
    """Every record of every split, encoded pictures as they are stored, ids as text."""
    import tensorflow_datasets as tfds

    skip = {name: tfds.decode.SkipDecoding() for name in ("image", "mask") if name in builder.info.features}
    return {
        split: [dict(record, id=record["id"].decode()) for record in builder.as_data_source(split, decoders=skip)]
        for split in builder.info.splits
    }


def write_json(path, content):
    """As a file of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def left_behind(folder):
    """The files in a folder of prepared data sets."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def refusal(prepare, root, prepared, **options):
    """The one sentence with which `prepare` refuses; nothing is left behind."""
    with pytest.raises(UserError) as caught:
        prepare(root, prepared, **options)
    assert "\n" not in str(caught.value)
    assert not left_behind(prepared)
    return str(caught.value)
