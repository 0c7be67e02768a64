"""domain_folders: any folder `FOLDER/DOMAIN/CLASS/IMAGE`, found wherever it lies."""

import shutil
import sys
import zipfile

import pytest

from align_jax.data.datasets.domain_folders import prepare
from tests.data.image_files import left_behind, read_all, write_domains, write_image
from tests.data.small_folders import CLASSES, DOMAINS, ids_below, refused, write_masks


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


def test_what_is_missing_is_said(tmp_path, root):
    for place in (tmp_path / "nowhere", tmp_path):
        text = refused(place, tmp_path / "prepared", folder="PACS")
        for part in (str(place), "PACS", "DOMAIN/CLASS", "DomainBed"):
            assert part in text
    write_image(root / "Flat" / "class" / "1.jpg")
    text = refused(root, tmp_path / "prepared", folder="Flat")
    assert f"{root / 'Flat'} has 1 image in 1 folder (class)" in text
    assert "sort the images into Flat/DOMAIN/CLASS/" in text


@pytest.mark.parametrize("folder", ["", ".", "..", "a/b", "/etc", "a b"])
def test_odd_folder_names_are_refused(root, tmp_path, folder):
    assert "--config.data.folder=PACS" in refused(root, tmp_path / "prepared", folder=folder)


def zip_of(path, folder, inside):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{inside}/{file.relative_to(folder)}")
    return path
