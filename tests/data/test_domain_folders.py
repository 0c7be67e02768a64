"""What all builders of images in folders share, seen through domain_folders."""

import functools
import io
import itertools
import os
import shutil
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from align_jax.data import images
from align_jax.data.datasets import domain_images_builder
from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.datasets.domain_images import LabelledImage
from align_jax.data.datasets.domain_images_builder import in_order, shards, split_names
from align_jax.errors import UserError
from tests.data.image_files import pixels, read_all, write_domains, write_image

DOMAINS, CLASSES = ("clipart", "real photos"), ("apple", "Bus")


@pytest.fixture
def root(tmp_path):
    write_domains(tmp_path / "data" / "Mine", DOMAINS, CLASSES)
    return tmp_path / "data"


def refused(*arguments, **options):
    with pytest.raises(UserError) as caught:
        prepare(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_behind(folder):
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def test_records_are_the_files_in_order(root, tmp_path):
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    features = builder.info.features
    assert set(features) == {"image", "label", "domain", "id"}
    assert features["domain"].names == ["clipart", "real photos"]
    assert features["label"].names == ["Bus", "apple"]
    splits = builder.info.metadata["splits"]
    assert splits == {"clipart": "clipart", "real photos": "real_photos"}
    records = read_all(builder)
    assert set(records) == set(splits.values())
    for domain, split in splits.items():
        ids = [record["id"] for record in records[split]]
        assert ids == [f"{domain}/{name}/{number}.jpg" for name in ("Bus", "apple") for number in (0, 1)]
        for record in records[split]:
            assert record["image"] == (root / "Mine" / record["id"]).read_bytes()
            assert features["domain"].names[record["domain"]] == domain
            assert features["label"].names[record["label"]] == record["id"].split("/")[1]
    assert builder.as_data_source("clipart")[0]["image"].shape == (12, 16, 3)
    assert "@" in builder.info.citation
    assert "tensorflow" not in sys.modules


def test_what_is_prepared_needs_its_images_no_more(root, tmp_path):
    before = read_all(prepare(root, tmp_path / "prepared", folder="Mine"))
    files = {path: path.stat().st_mtime_ns for path in left_behind(tmp_path / "prepared")}
    shutil.rmtree(root)
    again = prepare(root, tmp_path / "prepared", folder="Mine")
    assert read_all(again) == before
    assert again.info.metadata["splits"]["real photos"] == "real_photos"
    assert {path: path.stat().st_mtime_ns for path in left_behind(tmp_path / "prepared")} == files
    (folder,) = (tmp_path / "prepared").glob("domain_folders/Mine/1.0.0")
    assert read_all(tfds.builder_from_directory(folder)) == before


def test_only_images_are_taken_and_the_rest_is_counted(root, tmp_path, capsys):
    folder = root / "Mine"
    write_image(folder / "clipart" / "apple" / "UPPER.JPG")
    write_image(folder / "clipart" / "apple" / "other.Jpeg")
    for hidden in (".hidden/apple/1.jpg", "clipart/.DS_Store", "clipart/apple/.0.jpg", ".git/config"):
        (folder / hidden).parent.mkdir(parents=True, exist_ok=True)
        (folder / hidden).write_bytes(b"?")
    strays = ("readme.txt", "clipart/list.txt", "clipart/apple/Thumbs.db", "clipart/apple/deeper/1.jpg", "docs/a.txt")
    for stray in strays:
        (folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (folder / stray).write_bytes(b"?")
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert "ignored: 6." in capsys.readouterr().err  # docs/ counts, and the file in it
    assert builder.info.features["domain"].names == ["clipart", "real photos"]
    names = [record["id"].rsplit("/", 1)[1] for record in read_all(builder)["clipart"] if "apple" in record["id"]]
    assert names == ["0.jpg", "1.jpg", "UPPER.JPG", "other.Jpeg"]


def test_plain_files_are_stored_as_they_are_and_others_as_png(root, tmp_path):
    folder = root / "Mine" / "clipart" / "apple"
    rgb = Image.fromarray(pixels(5))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter.
    rgb.save(folder / "plain.png")
    rgb.save(folder / "plain.webp", lossless=True)
    rgb.convert("L").save(folder / "plain_grey.jpg")
    rgb.convert("CMYK").save(folder / "odd_cmyk.jpg")
    rgb.convert("P").save(folder / "odd_palette.png")
    rgb.save(folder / "odd_turned.jpg", exif=exif)
    rgb.save(folder / "odd_png_by_another_name.gif.jpg", format="GIF")
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    seen = set()
    for record in itertools.chain(*read_all(builder).values()):
        content = (root / "Mine" / record["id"]).read_bytes()
        kind = record["id"].rsplit("/", 1)[1].split("_")[0]
        assert (record["image"] == content) == (kind != "odd"), record["id"]
        if kind == "odd":
            assert Image.open(io.BytesIO(record["image"])).format == "PNG"
            np.testing.assert_array_equal(images.decode(record["image"]), images.decode(content))
        seen.add(kind)
    assert "odd" in seen


def test_domains_may_be_called_as_classes_are(tmp_path):
    write_domains(tmp_path / "Mine", ("a", "b", "c"), ("c", "b"))
    builder = prepare(tmp_path, tmp_path / "prepared", folder="Mine")
    for split, records in read_all(builder).items():
        assert [record["id"] for record in records] == [f"{split}/{name}/{n}.jpg" for name in "bc" for n in (0, 1)]


def test_file_names_that_are_not_text_are_escaped(tmp_path):
    write_domains(tmp_path / "Mine", ("a", "b"), ("c",), images=1)
    for byte in (0xFE, 0xFF):
        shutil.copy(
            tmp_path / "Mine/a/c/0.jpg", os.fsdecode(os.fsencode(tmp_path / "Mine/a/c/") + bytes([47, byte]) + b".jpg")
        )
    records = read_all(prepare(tmp_path, tmp_path / "prepared", folder="Mine"))
    assert [record["id"] for record in records["a"]] == ["a/c/0.jpg", "a/c/\\xfe.jpg", "a/c/\\xff.jpg"]


def write_masks(folder, ids, height=12):
    for index, name in enumerate(ids):
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(pixels(index, height=height, channels=1) > 127, 255, 0).astype(np.uint8)[..., 0]).save(
            path
        )


def ids_below(folder):
    return [f"{d}/{c}/{n}.jpg" for d in DOMAINS for c in CLASSES for n in range(2)]


def test_masks_come_along(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder))
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == ["clipart", "real photos"]
    assert builder.info.features["mask"].shape == (None, None, 1)
    for record in itertools.chain(*read_all(builder).values()):
        mask = np.asarray(Image.open((folder / "masks" / record["id"]).with_suffix(".png")))
        np.testing.assert_array_equal(images.decode_mask(record["mask"])[..., 0], mask)


def test_masks_of_some_images_alone_or_of_another_size_are_refused(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder)[:5])
    assert "masks for 5 of 8 images" in refused(root, tmp_path / "prepared", folder="Mine")
    write_masks(folder, ids_below(folder))
    write_masks(folder, ids_below(folder)[:1], height=10)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert "clipart/apple/0.jpg (its mask has 16 x 10 pixels, the image 16 x 12)" in text


def spoil(folder):
    """Two bad images of eight and their ids."""
    truncated, empty = folder / "clipart" / "Bus" / "1.jpg", folder / "real photos" / "apple" / "0.jpg"
    truncated.write_bytes(truncated.read_bytes()[:200])
    empty.write_bytes(b"")
    return {"clipart/Bus/1.jpg", "real photos/apple/0.jpg"}


def test_bad_images_are_all_found_and_nothing_is_left(root, tmp_path):
    spoil(root / "Mine")
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for part in (
        "2 of 8 images",
        "clipart/Bus/1.jpg (truncated)",
        "real photos/apple/0.jpg (empty",
        "on_bad_image=skip",
    ):
        assert part in text
    assert not left_behind(tmp_path / "prepared")
    assert not list((tmp_path / "prepared").rglob("*incomplete*"))


def test_many_bad_images_are_counted_and_some_named(root, tmp_path):
    for path in (root / "Mine").rglob("0.jpg"):
        path.write_bytes(b"no image")
    for path in (root / "Mine" / "clipart").rglob("1.jpg"):
        path.write_bytes(b"no image")
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert "6 of 8 images" in text
    assert text.count(".jpg (") == 5
    assert "and 1 more" in text


def test_bad_images_can_be_skipped_up_to_a_share(root, tmp_path, capsys):
    bad = spoil(root / "Mine")
    options = {"folder": "Mine", "on_bad_image": "skip"}
    text = refused(root, tmp_path / "prepared", most_skipped=0.24, **options)
    assert "2 of 8 images" in text
    assert "most_skipped=0.24" in text
    assert not left_behind(tmp_path / "prepared")
    builder = prepare(root, tmp_path / "prepared", most_skipped=0.25, **options)
    assert "Left out 2 of 8 images" in capsys.readouterr().err
    assert set(builder.info.metadata["skipped"]) == bad
    kept = {record["id"] for record in itertools.chain(*read_all(builder).values())}
    assert kept == set(ids_below(root)) - bad
    assert builder.info.splits.total_num_examples == 6


def test_a_class_or_domain_without_a_readable_image_is_refused(root, tmp_path):
    for path in (root / "Mine").glob("*/Bus/*.jpg"):
        path.write_bytes(b"")
    options = {"folder": "Mine", "on_bad_image": "skip", "most_skipped": 1.0}
    assert "no image of the class Bus" in refused(root, tmp_path / "prepared", **options)
    for path in (root / "Mine" / "clipart").rglob("*.jpg"):
        path.write_bytes(b"")
    assert "no image of the domain clipart" in refused(root, tmp_path / "prepared", **options)
    assert not left_behind(tmp_path / "prepared")


def test_many_shards_hold_what_one_would(root, tmp_path, monkeypatch):
    """One image a shard, one of them bad: its shard is empty."""
    spoil(root / "Mine")
    options = {"folder": "Mine", "on_bad_image": "skip", "most_skipped": 1.0}
    whole = read_all(prepare(root, tmp_path / "one", **options))
    monkeypatch.setattr(domain_images_builder, "shards", functools.partial(shards, size=1))
    builder = prepare(root, tmp_path / "many", **options)
    assert builder.info.splits["clipart"].num_shards == 4
    assert read_all(builder) == whole


def test_shards_are_small_and_complete():
    members = [LabelledImage("d", "c", f"{n}", "", None, size) for n, size in enumerate((5, 5, 1, 20, 3, 3, 3))]
    parts = shards(members, size=10)
    assert [[image.size for image in part] for part in parts] == [[5, 5], [1], [20], [3, 3, 3]]
    assert [image for part in parts for image in part] == members


def test_threads_keep_the_order_and_do_not_run_ahead():
    begun, lock = [], threading.Lock()

    def slow(index):
        with lock:
            begun.append(index)
        time.sleep(0.001 * (index % 3))
        return index

    results = in_order(slow, iter(range(2000)))
    assert [next(results) for _ in range(20)] == list(range(20))
    assert len(begun) < 200
    assert list(results) == list(range(20, 2000))


def test_split_names_are_valid_and_differ():
    names = split_names(["a b", "a_b", "a-b", "ALL", "é", "è"])
    assert names == {"a b": "a_b", "a_b": "a_b_", "a-b": "a-b", "ALL": "ALL_", "é": "_", "è": "__"}


def zip_of(path, folder, inside):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{inside}/{file.relative_to(folder)}")
    return path


def test_archives_and_the_folder_itself_give_the_same(root, tmp_path):
    expected = read_all(prepare(root, tmp_path / "a", folder="Mine"))
    assert read_all(prepare(root / "Mine", tmp_path / "b", folder="Mine")) == expected
    (tmp_path / "archives").mkdir()
    archive = zip_of(tmp_path / "archives" / "mine.ZIP", root / "Mine", "wrapped/kfold")
    assert read_all(prepare(archive, tmp_path / "c", folder="Mine")) == expected
    assert read_all(prepare(archive.parent, tmp_path / "d", folder="Mine")) == expected
    for name in "cd":
        assert {path.suffix for path in left_behind(tmp_path / name)} <= {
            ".json",
            ".txt",
            ".array_record-00000-of-00001",
        }


def test_leftovers_of_a_killed_process_are_removed(root, tmp_path):
    leftover = tmp_path / "prepared" / "domain_folders" / "Mine" / "incomplete.ABC_1.0.0"
    leftover.mkdir(parents=True)
    (leftover / "part").write_bytes(b"?")
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert not list((tmp_path / "prepared").rglob("*incomplete*"))


def test_a_half_copy_is_not_taken_for_a_data_set(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    (tmp_path / "prepared" / "domain_folders" / "Mine" / "1.0.0" / "dataset_info.json").unlink()
    assert "not a whole data set" in refused(root, tmp_path / "prepared", folder="Mine")


def test_what_is_missing_is_said(tmp_path, root):
    for place in (tmp_path / "nowhere", tmp_path):
        text = refused(place, tmp_path / "prepared", folder="PACS")
        for part in (str(place), "PACS", "DOMAIN/CLASS", "DomainBed"):
            assert part in text
    write_image(root / "Flat" / "class" / "1.jpg")
    assert "no folder or archive Flat" in refused(root, tmp_path / "prepared", folder="Flat")


@pytest.mark.parametrize("folder", ["", ".", "..", "a/b", "/etc", "a b"])
def test_odd_folder_names_are_refused(root, tmp_path, folder):
    assert "--config.data.folder=PACS" in refused(root, tmp_path / "prepared", folder=folder)


def test_paths_that_are_not_local_are_refused(root):
    from pathlib import Path

    assert "mount the bucket" in refused(root, Path("gs://bucket/data"), folder="Mine")
