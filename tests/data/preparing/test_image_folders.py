"""Images and their masks are found in `DOMAIN/CLASS/`; what does not fit is counted or refused."""

import os
import shutil

from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.preparing import image_folders as domain_images
from align_jax.data.preparing.image_folders import LabelledImage
from align_jax.data.preparing.sources import Place
from tests.data.image_files import read_all, write_domains, write_image
from tests.data.small_folders import ids_below, refused, write_masks


def test_only_images_are_taken_and_the_rest_is_counted(root, tmp_path, capsys):
    folder = root / "Mine"
    write_image(folder / "clipart" / "apple" / "UPPER.JPG")
    write_image(folder / "clipart" / "apple" / "other.Jpeg")
    for hidden in (".hidden/apple/1.jpg", "clipart/.DS_Store", "clipart/apple/.0.jpg", ".git/config"):
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / hidden).write_bytes(b"?")
    strays = ("readme.txt", "clipart/list.txt", "clipart/apple/Thumbs.db", "clipart/apple/docs/a.txt")
    for stray in strays:
        (folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (folder / stray).write_bytes(b"?")
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert "not taken: .txt (3), Thumbs.db (1)." in capsys.readouterr().err
    assert builder.info.features["domain"].names == ["clipart", "real photos"]
    names = [record["id"].rsplit("/", 1)[1] for record in read_all(builder)["clipart"] if "apple" in record["id"]]
    assert names == ["0.jpg", "1.jpg", "UPPER.JPG", "other.Jpeg"]


def test_domains_may_be_called_as_classes_are(tmp_path):
    write_domains(tmp_path / "Mine", ("a", "b", "c"), ("c", "b"))
    builder = prepare(tmp_path, tmp_path / "prepared", folder="Mine")
    for split, records in read_all(builder).items():
        assert [record["id"] for record in records] == [f"{split}/{name}/{n}.jpg" for name in "bc" for n in (0, 1)]


def test_file_names_that_are_not_text_are_escaped(tmp_path):
    write_domains(tmp_path / "Mine", ("a", "b"), ("c", "d"), images=1)
    for byte in (0xFE, 0xFF):
        shutil.copy(
            tmp_path / "Mine/a/c/0.jpg", os.fsdecode(os.fsencode(tmp_path / "Mine/a/c/") + bytes([47, byte]) + b".jpg")
        )
    records = read_all(prepare(tmp_path, tmp_path / "prepared", folder="Mine"))
    assert [record["id"] for record in records["a"]][:3] == ["a/c/0.jpg", "a/c/\\xfe.jpg", "a/c/\\xff.jpg"]


def test_links_are_followed(root, tmp_path):
    folder = root / "Mine" / "clipart" / "apple"
    (folder / "9.jpg").symlink_to(write_to(tmp_path / "elsewhere" / "1.jpg"))
    (root / "Mine" / "linked").symlink_to(root / "Mine" / "clipart")
    records = read_all(prepare(root, tmp_path / "prepared", folder="Mine"))
    assert "clipart/apple/9.jpg" in {record["id"] for record in records["clipart"]}
    assert [record["image"] for record in records["linked"]] == [record["image"] for record in records["clipart"]]


def write_to(path):
    write_image(path, seed=42)
    return path


def test_two_images_of_one_name_share_a_mask(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder))
    write_image(folder / "clipart" / "apple" / "0.png", seed=77)
    records = read_all(prepare(root, tmp_path / "prepared", folder="Mine"))["clipart"]
    masks = {record["id"]: record["mask"] for record in records}
    assert masks["clipart/apple/0.jpg"] == masks["clipart/apple/0.png"] != masks["clipart/apple/1.jpg"]


def test_two_masks_of_one_image_are_refused(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder))
    write_image(folder / "masks" / "clipart" / "apple" / "0.jpg")
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for name in ("0.jpg", "0.png"):
        assert str(folder / "masks" / "clipart" / "apple" / name) in text


def test_masks_of_some_images_alone_or_of_another_size_are_refused(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder)[:5])
    assert "masks for 5 of 8 images" in refused(root, tmp_path / "prepared", folder="Mine")
    write_masks(folder, ids_below(folder))
    write_masks(folder, ids_below(folder)[:1], height=10)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert "clipart/apple/0.jpg (its mask has 16 x 10 pixels, the image 16 x 12)" in text


def test_without_masks_no_image_is_named(root, monkeypatch):
    """A data set has up to a million images; ids are for those that are spoken of."""

    def spoken_of(image):
        raise AssertionError(image.path)

    monkeypatch.setattr(LabelledImage, "id", property(spoken_of))
    assert len(domain_images.scan(Place(root / "Mine", root / "Mine", frozenset())).images) == 8
