"""Terra Incognita: both layouts, which version it is, and annotations that cannot be trusted."""

import itertools
import shutil
import sys
import tarfile

import pytest

from align_jax.data.datasets.terra_incognita import prepare
from align_jax.data.datasets.terra_incognita.terra_incognita import CLASSES, DOMAINS, PUBLISHED, which_version
from tests.data.image_files import read_all, refusal, write_domains, write_image, write_json

FILES = ("train", "cis_val", "cis_test", "trans_val", "trans_test")
# Identifiers in the release do not begin at 0, and there are other categories.
CATEGORIES = [{"id": 10 + index, "name": name} for index, name in enumerate((*CLASSES, "car", "skunk"))]
NUMBER = {category["name"]: category["id"] for category in CATEGORIES}


def refused(root, prepared):
    return refusal(prepare, root, prepared)


def image(identifier, location, name=None):
    return {"id": identifier, "file_name": name or f"{identifier}.jpg", "location": location, "width": 16}


def annotation(identifier, category):
    return {"id": f"a-{identifier}-{category}", "image_id": identifier, "category_id": NUMBER[category]}


@pytest.fixture
def release(tmp_path):
    """One image of each class at each location, over five files, and what is not to be kept; with its expected ids."""
    folder = tmp_path / "raw"
    parts = {name: {"images": [], "annotations": [], "categories": CATEGORIES, "info": {}} for name in FILES}
    ids = set()
    cells = itertools.product((38, "43", 46, 100), CLASSES)
    for index, ((location, name), part) in enumerate(zip(cells, itertools.cycle(FILES), strict=False)):
        identifier = f"image-{index:02d}"
        parts[part]["images"].append(image(identifier, location))
        # Several boxes of one kind: one image.
        parts[part]["annotations"] += [annotation(identifier, name)] * 2
        ids.add(f"location_{location}/{name}/{identifier}.jpg")
    train = parts["train"]
    train["images"] += [image("elsewhere", 7), image("both", 38), image("nothing", 38), image("car", 43)]
    train["annotations"] += [annotation("elsewhere", "cat"), annotation("both", "cat"), annotation("both", "dog")]
    train["annotations"] += [annotation("car", "car")]
    # Kept: only one of its categories is a class. Listed in two files: kept once.
    for part in ("train", "cis_test"):
        parts[part]["images"].append(image("with-car", 43))
        parts[part]["annotations"] += [annotation("with-car", "car"), annotation("with-car", "coyote")]
    ids.add("location_43/coyote/with-car.jpg")
    for name, content in parts.items():
        write_json(folder / "eccv_18_annotation_files" / f"{name}_annotations.json", content)
    listed = {entry["file_name"] for content in parts.values() for entry in content["images"]}
    for seed, name in enumerate(sorted(listed)):
        write_image(folder / "eccv_18_all_images_sm" / name, seed)
    return folder, parts, ids


def all_ids(builder):
    return [record["id"] for members in read_all(builder).values() for record in members]


def test_the_raw_release_is_joined(release, tmp_path, capsys):
    folder, _, ids = release
    builder = prepare(folder, tmp_path / "prepared")
    found = all_ids(builder)
    assert len(found) == len(set(found)) == 41
    assert set(found) == ids
    error = capsys.readouterr().err
    assert "left out: 1 that show several of the classes, 2 that show none" in error
    assert "neither the 24,788" in error
    assert tuple(builder.info.features["domain"].names) == DOMAINS
    assert tuple(builder.info.features["label"].names) == CLASSES
    for split, members in read_all(builder).items():
        assert [member["id"] for member in members] == sorted(member["id"] for member in members)
        for member in members:
            domain, name, file = member["id"].split("/")
            assert domain == split == DOMAINS[member["domain"]]
            assert name == CLASSES[member["label"]]
            assert member["image"] == (folder / "eccv_18_all_images_sm" / file).read_bytes()
    assert "tensorflow" not in sys.modules


def test_both_layouts_give_the_same_records(release, tmp_path):
    folder, _, ids = release
    sorted_folder = tmp_path / "data" / "terra_incognita"
    for name in ids:
        (sorted_folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "eccv_18_all_images_sm" / name.rsplit("/", 1)[1], sorted_folder / name)
    expected = read_all(prepare(folder, tmp_path / "a"))
    assert read_all(prepare(tmp_path / "data", tmp_path / "b")) == expected
    assert read_all(prepare(sorted_folder, tmp_path / "c")) == expected


def test_archives_of_the_raw_release(release, tmp_path):
    folder, _, _ = release
    expected = read_all(prepare(folder, tmp_path / "a"))
    archives = tmp_path / "archives"
    archives.mkdir()
    for name, inside in (
        ("eccv_18_annotations", "eccv_18_annotation_files"),
        ("eccv_18_all_images_sm", "eccv_18_all_images_sm"),
    ):
        with tarfile.open(archives / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder / inside, inside)
    assert read_all(prepare(archives, tmp_path / "b")) == expected
    with tarfile.open(tmp_path / "everything.tar", "w") as archive:
        archive.add(folder, "terra")
    assert read_all(prepare(tmp_path / "everything.tar", tmp_path / "c")) == expected
    assert not list(tmp_path.rglob("incomplete*"))


def test_every_archive_is_looked_into(release, tmp_path):
    """Of those called `*annotation*` and `*image*`, the ones that matter come second."""
    folder, _, _ = release
    expected = read_all(prepare(folder, tmp_path / "a"))
    write_json(tmp_path / "other" / "cct.json", {})
    write_image(tmp_path / "other" / "cropped.jpg")
    archives = tmp_path / "archives"
    archives.mkdir()
    for name, inside in (
        ("a_older_annotations", tmp_path / "other"),
        ("a_cropped_images", tmp_path / "other"),
        ("eccv_18_annotations", folder / "eccv_18_annotation_files"),
        ("eccv_18_all_images_sm", folder / "eccv_18_all_images_sm"),
    ):
        with tarfile.open(archives / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(inside, inside.name)
    assert read_all(prepare(archives, tmp_path / "b")) == expected


def test_an_image_that_lies_in_several_classes_is_found(tmp_path):
    """As DomainBed's script copies those that are annotated with several."""
    root = write_domains(tmp_path / "data", DOMAINS, CLASSES, images=1)
    shutil.copy(root / "location_38" / "bird" / "0.jpg", root / "location_38" / "squirrel" / "0.jpg")
    builder = prepare(root, tmp_path / "prepared")
    assert builder.info.metadata["duplicates"] == {"location_38": [[0, 9]]}


def counts(totals):
    return {domain: {"bird": total, "cat": 0} for domain, total in totals.items()}


def test_the_versions_are_told_apart():
    assert sum(PUBLISHED.values()) == 24_788
    assert which_version(counts(PUBLISHED)) == "These are the 24,788 images as published."
    newer = PUBLISHED | {"location_38": PUBLISHED["location_38"] - 458}
    text = which_version(counts(newer))
    assert text.startswith("These are the 24,330 images of newer downloads")
    assert "9,309 (not 9,767)" in text
    assert "4,879 (not" not in text
    moved = PUBLISHED | {"location_38": 9768, "location_43": 4019}
    assert which_version(counts(moved)).startswith("These are neither")
    assert "because images that show several of the classes are left out" in which_version(counts(moved))


def test_an_image_that_is_not_there_is_a_bad_image(release, tmp_path):
    folder, _, _ = release
    (folder / "eccv_18_all_images_sm" / "image-03.jpg").unlink()
    text = refused(folder, tmp_path / "prepared")
    assert "1 of 41 images" in text
    assert "image-03.jpg (No such file" in text
    builder = prepare(folder, tmp_path / "prepared", on_bad_image="skip", most_skipped=0.05)
    assert len(builder.info.metadata["skipped"]) == 1


@pytest.mark.parametrize(
    ("break_it", "part"),
    [
        (lambda content: content.pop("images"), "no 'images'"),
        (lambda content: content["images"][0].pop("file_name"), "no 'file_name'"),
        (lambda content: content["images"].append(5), "not subscriptable"),
        (lambda content: content.update(categories=[{"id": [], "name": "cat"}]), "unhashable"),
        (lambda content: content["annotations"].append({"image_id": "image-00", "category_id": 999}), "no 999"),
        (lambda content: content["annotations"].append({"image_id": {}, "category_id": 10}), "unhashable"),
        (lambda content: content["images"].append(image("x", 38, "image-10.jpg")), "image-10.jpg is at two locations"),
        (
            lambda content: content["images"].append(image("x", 38, "../secret.jpg")),
            "'../secret.jpg', which could leave",
        ),
        (lambda content: content["images"].append(image("x", 38, "a/../../s.jpg")), "could leave"),
        (lambda content: content["images"].append(image("x", 38, "/etc/passwd")), "'/etc/passwd', which could leave"),
        (lambda content: content["images"].append(image("x", 38, "..\\secret.jpg")), "could leave"),
        (lambda content: content["images"].append(image("x", 38, "C:secret.jpg")), "could leave"),
        (lambda content: content["images"].append(image("x", 38, "a\0b.jpg")), "the file name"),
        (lambda content: content["images"].append(image("x", 38, 7)), "the file name 7"),
    ],
)
def test_malformed_annotations_are_refused(release, tmp_path, break_it, part):
    folder, parts, _ = release
    break_it(parts["cis_val"])
    write_json(folder / "eccv_18_annotation_files" / "cis_val_annotations.json", parts["cis_val"])
    text = refused(folder, tmp_path / "prepared")
    assert "cis_val_annotations.json is not an annotation file" in text
    assert part in text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe\xfd", b"[" * 100_000, b'{"images": 1' + b"0" * 5000]
)
def test_files_that_are_no_annotations_are_refused(release, tmp_path, content):
    folder, _, _ = release
    (folder / "eccv_18_annotation_files" / "trans_val_annotations.json").write_bytes(content)
    assert "trans_val_annotations.json is not an annotation file" in refused(folder, tmp_path / "prepared")


def test_all_five_files_are_needed_once(release, tmp_path):
    folder, parts, _ = release
    annotations = folder / "eccv_18_annotation_files"
    write_json(annotations / "trans_test_old.json", parts["trans_test"])
    assert "several annotation files *trans*test*.json" in refused(folder, tmp_path / "prepared")
    (annotations / "trans_test_old.json").unlink()
    (annotations / "train_annotations.json").unlink()
    assert "no annotation file *train*.json" in refused(folder, tmp_path / "prepared")


def test_annotations_without_images_say_so(release, tmp_path):
    folder, _, _ = release
    shutil.rmtree(folder / "eccv_18_all_images_sm")
    text = refused(folder, tmp_path / "prepared")
    assert "none of the images that they name, such as image-00.jpg" in text
    assert "eccv_18_all_images_sm" in text


def test_absent_locations_and_classes_are_refused(tmp_path):
    root = tmp_path / "data"
    write_domains(root / "terra_incognita", DOMAINS, CLASSES, images=1)
    for path in root.rglob("opossum/*"):
        path.unlink()
    assert "no image of the class opossum" in refused(root, tmp_path / "prepared")
    shutil.rmtree(root / "terra_incognita" / "location_46")
    assert "has no folder location_46" in refused(root, tmp_path / "prepared")
    text = refused(tmp_path, tmp_path / "prepared")
    for part in ("location_100, location_38", "five annotation files", "domainbed.scripts.download", "LILA BC"):
        assert part in text


def test_images_that_are_links_to_nothing_are_there_and_bad(release, tmp_path):
    folder, _, _ = release
    for path in (folder / "eccv_18_all_images_sm").iterdir():
        path.unlink()
        path.symlink_to("../.git/annex/objects/0")
    assert "41 of 41 images of terra_incognita cannot be read" in refused(folder, tmp_path / "prepared")
