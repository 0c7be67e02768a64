"""A small data set of images in folders, `Mine`, and what may be wrong with it."""

import numpy as np
import pytest
from PIL import Image

from align_jax.data.datasets.domain_folders import prepare
from align_jax.errors import UserError
from tests.data.image_files import pixels

DOMAINS, CLASSES = ("clipart", "real photos"), ("apple", "Bus")


def refused(*arguments, **options):
    with pytest.raises(UserError) as caught:
        prepare(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_masks(folder, ids, height=12):
    for index, name in enumerate(ids):
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(pixels(index, height=height, channels=1) > 127, 255, 0).astype(np.uint8)[..., 0]).save(
            path
        )


def ids_below(folder):
    return [f"{d}/{c}/{n}.jpg" for d in DOMAINS for c in CLASSES for n in range(2)]


def spoil(folder):
    """Two bad images of eight and their ids."""
    truncated, empty = folder / "clipart" / "Bus" / "1.jpg", folder / "real photos" / "apple" / "0.jpg"
    truncated.write_bytes(truncated.read_bytes()[:200])
    empty.write_bytes(b"")
    return {"clipart/Bus/1.jpg", "real photos/apple/0.jpg"}
