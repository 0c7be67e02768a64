"""What all builders of images in folders share, seen through domain_folders."""

import errno
import functools
import io
import itertools
import json
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
from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.preparing import builder as domain_images_builder
from align_jax.data.preparing import image_folders as domain_images
from align_jax.data.preparing.builder import in_order, shards, split_names
from align_jax.data.preparing.image_folders import LabelledImage
from align_jax.data.preparing.sources import Place
from align_jax.errors import UserError
from align_jax.runtime.locks import lock
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
    write_domains(tmp_path / "Mine", ("a", "b"), ("c", "d"), images=1)
    for byte in (0xFE, 0xFF):
        shutil.copy(
            tmp_path / "Mine/a/c/0.jpg", os.fsdecode(os.fsencode(tmp_path / "Mine/a/c/") + bytes([47, byte]) + b".jpg")
        )
    records = read_all(prepare(tmp_path, tmp_path / "prepared", folder="Mine"))
    assert [record["id"] for record in records["a"]][:3] == ["a/c/0.jpg", "a/c/\\xfe.jpg", "a/c/\\xff.jpg"]


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


def test_without_masks_no_image_is_named(root, monkeypatch):
    """A data set has up to a million images; ids are for those that are spoken of."""

    def spoken_of(image):
        raise AssertionError(image.path)

    monkeypatch.setattr(LabelledImage, "id", property(spoken_of))
    assert len(domain_images.scan(Place(root / "Mine", root / "Mine", frozenset())).images) == 8


def test_identical_files_are_found_within_a_domain(root, tmp_path, capsys):
    """Across classes, in the order of the records, those that are left out not counting."""
    folder = root / "Mine"
    same = (folder / "clipart" / "apple" / "1.jpg").read_bytes()
    for name in ("clipart/Bus/5.jpg", "clipart/apple/0.jpg", "real photos/Bus/0.jpg"):
        (folder / name).write_bytes(same)
    (folder / "clipart" / "Bus" / "1.jpg").write_bytes(b"")
    for number in (6, 7):
        write_image(folder / "clipart" / "apple" / f"{number}.png", seed=99)
    # The same pixels in another file are other bytes.
    Image.fromarray(images.decode(same)).save(folder / "clipart" / "apple" / "8.png")
    options = {"folder": "Mine", "on_bad_image": "skip", "most_skipped": 1.0}
    builder = prepare(root, tmp_path / "prepared", **options)
    ids = [record["id"].partition("/")[2] for record in read_all(builder)["clipart"]]
    groups = builder.info.metadata["duplicates"]
    assert set(groups) == {"clipart"}
    assert [[ids[index] for index in group] for group in groups["clipart"]] == [
        ["Bus/5.jpg", "apple/0.jpg", "apple/1.jpg"],
        ["apple/6.png", "apple/7.png"],
    ]
    lines = [line for line in capsys.readouterr().err.splitlines() if "files are identical" in line]
    assert len(lines) == 1
    assert lines[0].endswith("clipart 5 in 2 groups.")
    again = prepare(root, tmp_path / "prepared", **options)
    assert again.info.metadata["duplicates"] == groups


def test_different_files_are_no_duplicates(root, tmp_path, capsys):
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.metadata["duplicates"] == {}
    assert "files are identical" not in capsys.readouterr().err


def test_identical_files_in_several_shards_are_found(root, tmp_path, monkeypatch):
    shutil.copy(root / "Mine/clipart/Bus/0.jpg", root / "Mine/clipart/apple/1.jpg")
    monkeypatch.setattr(domain_images_builder, "shards", functools.partial(shards, size=1))
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert builder.info.metadata["duplicates"] == {"clipart": [[0, 3]]}


def test_where_it_was_prepared_from_is_said_when_it_is_used_again(root, tmp_path, capsys):
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert "Using" not in capsys.readouterr().err
    builder = prepare(tmp_path / "another", tmp_path / "prepared", folder="Mine")
    assert capsys.readouterr().err == (
        f"Using Mine prepared from {root / 'Mine'} (8 images, 0 left out) in "
        f"{tmp_path / 'prepared' / 'domain_folders' / 'Mine' / '1.0.0'}; delete it to prepare anew.\n"
    )
    assert builder.info.metadata["source"] == str(root / "Mine")


def test_what_was_prepared_without_bad_images_is_not_complete(root, tmp_path, capsys):
    spoil(root / "Mine")
    prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=1.0)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for part in ("(2)", "on_bad_image=skip", "delete the folder"):
        assert part in text
    prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=1.0)
    assert "(6 images, 2 left out)" in capsys.readouterr().err


def test_what_an_earlier_version_prepared_is_refused(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    path = tmp_path / "prepared" / "domain_folders" / "Mine" / "1.0.0" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["duplicates"]
    path.write_text(json.dumps(metadata))
    assert "delete it to prepare anew" in refused(root, tmp_path / "prepared", folder="Mine")


def test_pipes_are_not_read(root, tmp_path):
    os.mkfifo(root / "Mine" / "clipart" / "apple" / "9.jpg")
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 8
    # What annotations name is read without a look at the folder.
    pipe = os.open(root / "Mine" / "clipart" / "apple" / "9.jpg", os.O_RDWR)
    closing = threading.Timer(2.0, os.close, [pipe])  # A reader would then meet the end.
    closing.start()
    with pytest.raises(images.BadImage, match="not a regular file"):
        domain_images_builder._content(str(root / "Mine" / "clipart" / "apple" / "9.jpg"))
    closing.cancel()
    closing.join()
    os.close(pipe)


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


def test_one_of_several_processes_prepares(root, tmp_path, capsys):
    """The other says that it waits, and then reads what the first prepared."""
    folder = tmp_path / "prepared" / "domain_folders" / "Mine"
    folder.mkdir(parents=True)
    with lock(folder / ".lock"):
        waiting = threading.Thread(target=prepare, args=(root, tmp_path / "prepared"), kwargs={"folder": "Mine"})
        waiting.start()
        while "Waiting for another process" not in capsys.readouterr().err:
            assert waiting.is_alive()
            time.sleep(0.01)
        assert not (folder / "1.0.0").exists()
    waiting.join()
    assert (folder / "1.0.0" / "dataset_info.json").is_file()


def test_data_are_prepared_on_a_file_system_without_locks(root, tmp_path, monkeypatch):
    def without(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("align_jax.runtime.locks.fcntl.flock", without)
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 8


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


def test_strays_do_not_make_another_data_set(tmp_path):
    """`Mine/clipart/preview.jpg` looks like an image of the domain Mine and the class clipart."""
    folder = write_domains(tmp_path / "in" / "Mine", DOMAINS, CLASSES)
    for domain in DOMAINS:
        write_image(folder / domain / "preview.jpg")
        write_image(folder / domain / "Bus" / "thumbnails" / "small" / "0.jpg")
    archive = zip_of(tmp_path / "Mine.zip", tmp_path / "in", ".")
    builder = prepare(archive, tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == list(DOMAINS)
    assert builder.info.features["label"].names == ["Bus", "apple"]
    shutil.copytree(folder, tmp_path / "out" / "Mine" / "Mine")
    write_image(tmp_path / "out" / "Mine" / "notes" / "scans" / "0.jpg")
    builder = prepare(tmp_path / "out" / "Mine", tmp_path / "b", folder="Mine")
    assert builder.info.features["domain"].names == list(DOMAINS)


def test_masks_in_an_archive_are_not_taken_for_the_images(tmp_path):
    folder = write_domains(tmp_path / "in" / "Mine", DOMAINS, CLASSES)
    write_masks(folder, [*ids_below(folder), *(f"clipart/apple/{number}.jpg" for number in range(2, 6))])
    builder = prepare(zip_of(tmp_path / "Mine.zip", tmp_path / "in", "."), tmp_path / "prepared", folder="Mine")
    assert builder.info.splits.total_num_examples == 8
    assert "mask" in builder.info.features


def test_one_class_is_no_data_set(tmp_path):
    write_domains(tmp_path / "Mine", DOMAINS, ("apple",))
    assert "two classes" in refused(tmp_path, tmp_path / "prepared", folder="Mine")


def test_an_archive_of_another_name_is_not_taken_unless_it_contains_the_folder(root, tmp_path):
    office = zip_of(tmp_path / "office.zip", root / "Mine", "some")
    assert "no folder or archive Mine" in refused(office, tmp_path / "prepared", folder="Mine")
    write_domains(tmp_path / "in" / "Mine", DOMAINS, CLASSES)
    write_domains(tmp_path / "in" / "Other", ("a", "b"), ("c", "d"), images=5)
    several = zip_of(tmp_path / "several.zip", tmp_path / "in", "all")
    builder = prepare(several, tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == list(DOMAINS)
    assert builder.info.metadata["source"] == str(several)


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
