"""A user's images are found to any depth, through links too, each once; what is not taken is counted."""

import os
import shutil

import pytest

from align_jax.data.images import SUFFIXES
from align_jax.errors import UserError
from align_jax.inference.find_images import find_images
from tests.data.image_files import write_image


def names(paths, out, say=lambda text: None):
    return [str(found.name) for found in find_images(paths, out, say)]


def test_every_format_is_found_by_its_suffix_in_any_case(tmp_path):
    cases = [case(suffix) for suffix in SUFFIXES for case in (str.lower, str.upper, str.title)]
    write_image(tmp_path / "in" / "x.png")
    for number, suffix in enumerate(cases):
        shutil.copy(tmp_path / "in" / "x.png", tmp_path / "in" / f"{number}{suffix}")
    assert len(names([tmp_path / "in"], tmp_path / "out")) == 1 + len(cases)


def test_linked_folders_are_searched_and_end(tmp_path):
    write_image(tmp_path / "far" / "deep" / "1.png")
    write_image(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "far" / "self").symlink_to("self")
    assert names([tmp_path / "in"], tmp_path / "out") == ["in/0.png", "in/linked/deep/1.png"]


def test_what_is_not_taken_is_counted_by_suffix(tmp_path):
    write_image(tmp_path / "in" / "0.png")
    for name in ("a.heic", "b.HEIC", "Thumbs.db", "@eaDir/0.png/t.jpg", "noend"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"?")
    said = []
    assert names([tmp_path / "in"], tmp_path / "out", said.append) == ["in/0.png"]
    assert said == [f"{tmp_path / 'in'}: not taken: .heic (2), @eaDir (1), Thumbs.db (1), without a suffix (1)"]
    (tmp_path / "in" / "0.png").unlink()
    with pytest.raises(UserError, match=r"There is no image in .*in, but \.heic \(2\)"):
        find_images([tmp_path / "in"], tmp_path / "out")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write_image(tmp_path / "in" / "locked" / "0.png")
    scandir = os.scandir

    def guarded(folder):
        if folder == str(tmp_path / "in" / "locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", guarded)
    with pytest.raises(UserError, match=r"The folder .*locked cannot be read \(Permission denied\)"):
        find_images([tmp_path / "in"], tmp_path / "out")
