"""Every image is checked and written, or named; identical files are found; shards hold what one would."""

import functools
import io
import itertools
import os
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from align_jax.data import images
from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.image_files import read_content
from align_jax.data.preparing import builder as domain_images_builder
from align_jax.data.preparing.builder import in_order, shards, split_names
from align_jax.data.preparing.image_folders import LabelledImage
from tests.data.image_files import left_behind, pixels, read_all, write_image
from tests.data.small_folders import ids_below, refused, spoil, write_masks


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


def test_masks_come_along(root, tmp_path):
    folder = root / "Mine"
    write_masks(folder, ids_below(folder))
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == ["clipart", "real photos"]
    assert builder.info.features["mask"].shape == (None, None, 1)
    for record in itertools.chain(*read_all(builder).values()):
        mask = np.asarray(Image.open((folder / "masks" / record["id"]).with_suffix(".png")))
        np.testing.assert_array_equal(images.decode_mask(record["mask"])[..., 0], mask)


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


def test_pipes_are_not_read(root, tmp_path):
    os.mkfifo(root / "Mine" / "clipart" / "apple" / "9.jpg")
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 8
    # What annotations name is read without a look at the folder.
    pipe = os.open(root / "Mine" / "clipart" / "apple" / "9.jpg", os.O_RDWR)
    closing = threading.Timer(2.0, os.close, [pipe])  # A reader would then meet the end.
    closing.start()
    with pytest.raises(images.BadImage, match="not a regular file"):
        read_content(root / "Mine" / "clipart" / "apple" / "9.jpg")
    closing.cancel()
    closing.join()
    os.close(pipe)


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
