"""A mask may have any suffix of images; one that is a link to nothing is not called absent."""

import shutil

import pytest

from align_jax.data import image_files
from align_jax.data.images import SUFFIXES
from align_jax.data.mask_folder import with_masks
from align_jax.errors import UserError
from tests.data.image_files import write_image
from tests.tiny_config import Squares


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_mask_has_any_suffix_of_images(tmp_path, suffix):
    sources = {"dark": Squares(0, 0, 2)}
    for index, cased in enumerate((suffix, suffix.title())):
        path = tmp_path / f"{sources['dark'][index]['id']}{cased}"
        write_image(tmp_path / "mask.png", height=32, width=32)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "mask.png", path)  # the bytes decide
    replaced = with_masks(sources, tmp_path)["dark"]
    assert [replaced[index]["mask"].shape for index in range(2)] == [(32, 32, 1)] * 2


def test_two_masks_of_an_image_are_refused(tmp_path):
    sources = {"dark": Squares(0, 0, 1)}
    for suffix in (".jpg", ".bmp"):
        write_image(tmp_path / f"{sources['dark'][0]['id']}{suffix}", height=32, width=32)
    with pytest.raises(UserError, match=r"are masks of the same image; keep one"):
        with_masks(sources, tmp_path)


def test_a_link_to_nothing_is_named_as_one(tmp_path):
    sources = {"dark": Squares(0, 0, 1)}
    path = tmp_path / f"{sources['dark'][0]['id']}.png"
    path.parent.mkdir(parents=True)
    path.symlink_to("gone.png")
    with pytest.raises(UserError, match=r"\.png \(a link to nothing\) must be there"):
        with_masks(sources, tmp_path)


def test_a_mask_is_not_read_without_end(tmp_path, monkeypatch):
    sources = {"dark": Squares(0, 0, 1)}
    path = tmp_path / f"{sources['dark'][0]['id']}.png"
    write_image(path, height=32, width=32)
    monkeypatch.setattr(image_files, "MOST_BYTES", path.stat().st_size - 1)
    with pytest.raises(UserError, match="larger than"):
        with_masks(sources, tmp_path)["dark"][0]
