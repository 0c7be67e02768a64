"""Images below a class's folder are images; what is not taken is named and counted, or refused."""

import os
import shutil
import unicodedata
import zipfile

import pytest

from align_jax.data.datasets import vlcs
from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.image_files import LEFT_BY_SYSTEMS
from align_jax.data.images import SUFFIXES
from align_jax.data.preparing.image_folders import scan
from align_jax.data.preparing.sources import Place
from tests.data.image_files import left_behind, read_all, refusal, write_domains, write_image
from tests.data.small_folders import ids_below, refused, write_masks


def scanned(folder):
    return scan(Place(folder, folder, frozenset()))


def ids(folder):
    return [image.id for image in scanned(folder).images]


def test_images_below_a_class_folder_are_images(root, tmp_path):
    folder = root / "Mine"
    nested = ("2020/06/a.jpg", "2020/0.jpg", "z.jpg", "2021/0.jpg")
    for number, name in enumerate(nested):
        write_image(folder / "clipart" / "apple" / name, 90 + number)
    assert [image.file_name for image in scanned(folder).images if image.id.startswith("clipart/apple/")] == [
        "0.jpg", "1.jpg", "2020/0.jpg", "2020/06/a.jpg", "2021/0.jpg", "z.jpg",
    ]  # fmt: skip
    names = [*ids_below(folder), *(f"clipart/apple/{name}" for name in nested)]
    write_masks(folder, names)
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    records = read_all(builder)
    assert {record["id"] for members in records.values() for record in members} == set(names)
    by_id = {record["id"]: record for record in records["clipart"]}
    assert by_id["clipart/apple/2020/0.jpg"]["mask"] != by_id["clipart/apple/2021/0.jpg"]["mask"]


def test_links_that_lead_back_have_an_end(tmp_path):
    folder = write_domains(tmp_path / "Mine", ("a", "b"), ("c", "d"), images=1)
    place = folder / "a" / "c"
    for name, target in (("self", "self"), ("here", "."), ("up", "../.."), ("top", "/")):
        (place / name).symlink_to(target)
    for one, other in (("x", "y"), ("y", "x")):
        (place / one).mkdir()
        (place / one / "over").symlink_to(f"../{other}")
        write_image(place / one / "1.jpg", ord(one))
    data = scanned(folder)
    assert [image.id for image in data.images if image.path.startswith(str(place))] == [
        "a/c/0.jpg", "a/c/self", "a/c/x/1.jpg", "a/c/x/over/1.jpg",
    ]  # fmt: skip
    assert data.others == {"links to folders that are read already": 5}


def test_a_folder_that_is_linked_into_itself_is_no_domain_and_no_class(root):
    for place in (root / "Mine", root / "Mine" / "clipart"):
        (place / place.name).symlink_to(place)
        (place / "top").symlink_to(root)
    data = scanned(root / "Mine")
    assert (data.domains, data.classes, len(data.images)) == (("clipart", "real photos"), ("Bus", "apple"), 8)
    assert data.others == {"links to folders that are read already": 4}


def write_tiny_imagenet(folder, classes=3):
    """Its layout: train/CLASS/images/*.JPEG with a list of boxes, and images without classes in val/ and test/."""
    for number in range(classes):
        name = f"n0{number}"
        for index in range(2):
            image = folder / "train" / name / "images" / f"{name}_{index}.JPEG"
            write_image(image.with_suffix(".jpeg"), 10 * number + index)
            image.with_suffix(".jpeg").rename(image)
        (folder / "train" / name / f"{name}_boxes.txt").write_text("?")
    for part in ("val", "test"):
        for index in range(4):
            write_image(folder / part / "images" / f"{part}_{index}.jpg", 50 + index + len(part))
    return folder


@pytest.mark.parametrize("archived", [False, True])
def test_tiny_imagenet_is_recognised_and_its_images_without_classes_are_refused_or_left_out(tmp_path, capsys, archived):
    root = write_tiny_imagenet(tmp_path / "in" / "Tiny").parent
    if archived:
        root = shutil.make_archive(tmp_path / "Tiny", "zip", root)
    text = refused(root, tmp_path / "prepared", folder="Tiny")
    assert "test/images (4 images of no class), val/images (4 images of no class)" in text
    text = refused(root, tmp_path / "prepared", folder="Tiny", on_bad_image="skip", most_skipped=0.5)
    assert "of 14 images 8 would be left out, more than most_skipped=0.5 allows" in text
    builder = prepare(root, tmp_path / "prepared", folder="Tiny", on_bad_image="skip", most_skipped=0.6)
    assert builder.info.features["label"].names == ["n00", "n01", "n02"]
    assert [record["id"] for record in read_all(builder)["train"]][:2] == [
        "train/n00/images/n00_0.JPEG", "train/n00/images/n00_1.JPEG",
    ]  # fmt: skip
    said = capsys.readouterr().err
    assert "Left out folders with no image of a class: test/images (4" in said
    assert "Tiny: 6 images (6 of them in folders below a class's) of 1 domain (train) and 3 classes in" in said
    assert ".txt (3)" in said


def test_a_refusal_says_what_was_found_where(tmp_path):
    root = write_tiny_imagenet(tmp_path / "Tiny")
    text = refused(root, tmp_path / "prepared", folder="train")
    assert f"{root / 'train'} has 6 images in 3 folders (n00, n01, n02), each with a folder images/" in text
    for number in range(3):
        (tmp_path / "Other" / str(number)).mkdir(parents=True)
        (tmp_path / "Other" / str(number) / "a.heic").write_bytes(b"?")
    text = refused(tmp_path, tmp_path / "prepared", folder="Other")
    assert f"{tmp_path / 'Other'} has no image, but .heic (3)" in text
    text = refused(tmp_path, tmp_path / "Tiny" / "prepared", folder="Gone")
    assert f"no folder or archive Gone: {tmp_path} has 2 folders (Other, Tiny)" in text
    text = refused(tmp_path / "nowhere", tmp_path / "prepared", folder="Gone")
    assert f"{tmp_path / 'nowhere'} does not exist" in text
    (tmp_path / "nothing").symlink_to("nowhere")
    assert "nothing is a link to nothing" in refused(tmp_path / "nothing", tmp_path / "prepared", folder="Gone")
    write_domains(tmp_path / "data" / "VLCS" / "VLCS", vlcs.DOMAINS, ("bird",), images=1)
    text = refusal(vlcs.prepare, tmp_path / "data", tmp_path / "prepared")
    assert f"{tmp_path / 'data' / 'VLCS'} has 1 folder (VLCS)" in text
    assert not left_behind(tmp_path / "prepared")


def test_an_archive_is_not_taken_in_part(tmp_path):
    write_domains(tmp_path / "in" / "Mine", ("clipart", "photo"), ("apple", "Bus"))
    write_domains(tmp_path / "in" / "other", ("clipart",), ("apple", "Bus"))
    archive = shutil.make_archive(tmp_path / "Mine", "zip", tmp_path / "in")
    text = refused(archive, tmp_path / "prepared", folder="Mine")
    assert "8 images in Mine/DOMAIN/CLASS/ and 4 elsewhere" in text
    with zipfile.ZipFile(archive) as members:  # the remedy
        members.extractall(tmp_path / "out")
    builder = prepare(tmp_path / "out" / "Mine", tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == ["clipart", "photo"]
    assert builder.info.splits.total_num_examples == 8


def test_every_format_is_accepted_by_its_suffix_in_any_case(tmp_path):
    folder = write_domains(tmp_path / "Mine", ("a",), ("c", "d"), images=0)
    cases = [case(suffix) for suffix in SUFFIXES for case in (str.lower, str.upper, str.title)]
    for name in ("a/c", "a/d", "masks/a/c", "masks/a/d"):
        (folder / name).mkdir(parents=True)
        for number, suffix in enumerate(cases):
            # A mask's suffix is another one than its image's.
            suffix = cases[number - 1] if "masks" in name else suffix
            (folder / name / f"{number}{suffix}").write_bytes(b"?")
    data = scanned(folder)
    assert len(data.images) == 2 * len(cases) == 54
    assert all(image.mask is not None for image in data.images)
    assert not data.others


def test_a_class_without_an_image_is_named_and_refused_unless_asked_for(root, tmp_path, capsys):
    folder = root / "Mine"
    for number in range(3):
        (folder / "clipart" / "Bus" / f"{number}.jpg").unlink(missing_ok=True)
        (folder / "clipart" / "Bus" / f"{number}.HEIC").write_bytes(b"?")
    (folder / "photo").mkdir()
    write_image(folder / "photo" / "1.jpg")
    (folder / "sketch").symlink_to(tmp_path / "unmounted")
    (folder / "code" / "images").mkdir(parents=True)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for part in (
        "clipart/Bus (.heic (3))",
        "photo (images outside of DOMAIN/CLASS/ (1))",
        "sketch (a link to nothing)",
        "code/images (empty)",
        "on_bad_image=skip",
    ):
        assert part in text
    builder = prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=0.2)
    assert builder.info.splits.total_num_examples == 6
    said = capsys.readouterr().err
    assert "Left out folders with no image of a class: clipart/Bus (.heic (3))" in said
    assert len(builder.info.metadata["without_images"]) == 4
    assert "prepared with folders left out (4)" in refused(root, tmp_path / "prepared", folder="Mine")
    assert "Classes that are in one domain only: Bus (real photos)." in said


@pytest.mark.parametrize("what", ["", "1.heic", "x/1.heic", "dog.d/x/", "notes.txt"])
def test_a_domain_of_which_nothing_is_taken_is_named(root, tmp_path, what):
    place = root / "Mine" / "sketch" / what
    (place if what.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
    if "." in place.name:
        place.write_bytes(b"?")
    place.mkdir(exist_ok=True) if not what else None
    without = scanned(root / "Mine").without_images
    assert len(without) == 1
    assert without[0].startswith("sketch")
    assert without[0] in refused(root, tmp_path / "prepared", folder="Mine")


def test_links_to_nothing_are_named_whatever_they_are_called(root, tmp_path):
    folder = root / "Mine"
    for name in ("sketch.v1", "clipart/cow.new", "clipart/apple/deep", "clipart/apple/list.txt", "readme.md"):
        (folder / name).symlink_to("/nowhere")
    data = scanned(folder)
    assert set(data.without_images) == {"sketch.v1 (a link to nothing)", "clipart/cow.new (a link to nothing)"}
    assert "clipart/apple/deep" in ids(folder)
    assert data.others == {"links to nothing": 2}
    for name in ("sketch.v1", "clipart/cow.new"):
        (folder / name).unlink()
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert "1 of 9 images of Mine cannot be read: clipart/apple/deep (a link to nothing)" in text


def test_bad_images_and_those_in_folders_left_out_are_counted_together(root, tmp_path):
    write_image(root / "Mine" / "photo" / "1.jpg")
    (root / "Mine" / "clipart" / "apple" / "0.jpg").write_bytes(b"")
    text = refused(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=0.15)
    assert "of 9 images 2 would be left out" in text


def test_links_to_nothing_and_pointers_are_bad_images(root, tmp_path):
    folder = root / "Mine" / "clipart" / "apple"
    (folder / "annex.jpg").symlink_to("../.git/annex/objects/x/y/SHA256E-s1--0.jpg")
    (folder / "gone.PNG").symlink_to("nowhere.png")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "lfs.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "unlocked.jpg").write_bytes(b"/annex/objects/SHA256E-s1--0.jpg\n")
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for part in (
        "5 of 13 images",
        "annex.jpg (a link to nothing: run git annex get)",
        "gone.PNG (a link to nothing)",
        "itself.png (a link to nothing)",
        "lfs.jpg (a Git LFS pointer without its image: run git lfs pull)",
        "unlocked.jpg (a git-annex pointer without its image: run git annex get)",
    ):
        assert part in text


def test_a_data_set_of_links_to_nothing_alone_is_found(tmp_path):
    for name in ("a/c", "a/d", "b/c", "b/d"):
        (tmp_path / "Mine" / name).mkdir(parents=True)
        (tmp_path / "Mine" / name / "0.jpg").symlink_to("../../.git/annex/objects/0")
    assert "4 of 4 images" in refused(tmp_path, tmp_path / "prepared", folder="Mine")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("Straße", "STRASSE"),
        *[(unicodedata.normalize("NFC", n), unicodedata.normalize("NFD", n)) for n in ("été", "Å")],
    ],
)
def test_names_that_differ_in_spelling_alone_are_refused(tmp_path, one, other):
    folder = write_domains(tmp_path / "Mine", ("a", "b"), ("dog",), images=1)
    write_image(folder / "a" / one / "0.jpg")
    write_image(folder / "b" / other / "0.jpg", seed=1)
    text = refused(tmp_path, tmp_path / "prepared", folder="Mine")
    for part in (f"a/{one}", f"b/{other}", "two classes", "rename one"):
        assert part in text
    shutil.rmtree(folder / "b" / other)
    write_image(folder / one / "dog" / "1.jpg")
    write_image(folder / other / "dog" / "1.jpg")
    assert "two domains" in refused(tmp_path, tmp_path / "prepared", folder="Mine")


def test_names_that_must_be_are_not_called_absent_for_their_spelling(tmp_path):
    folder = write_domains(tmp_path / "VLCS", vlcs.DOMAINS, vlcs.vlcs.CLASSES, images=1)
    (folder / "SUN09" / "car").rename(folder / "SUN09" / "Car")
    text = refusal(vlcs.prepare, tmp_path, tmp_path / "prepared")
    assert f"{folder / 'SUN09' / 'Car'} must be called car" in text
    (folder / "SUN09").rename(folder / "sun09")
    text = refusal(vlcs.prepare, tmp_path, tmp_path / "prepared")
    assert f"{folder / 'sun09'} must be called SUN09" in text
    (folder / "SUN09").symlink_to("unmounted")
    (folder / "sun09").rename(folder / "other")
    assert "no folder SUN09 (but a link to nothing)" in refusal(vlcs.prepare, tmp_path, tmp_path / "prepared")


def test_what_systems_leave_is_no_class_and_no_domain(root, tmp_path, capsys):
    folder = root / "Mine"
    names = (*sorted(LEFT_BY_SYSTEMS), "@eaDir", "Thumbs.db", ".ipynb_checkpoints", ".Trash-0")
    for name in names:
        for place in (folder, folder / "clipart", folder / "clipart" / "apple"):
            write_image(place / name / "apple" / "0.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    assert builder.info.features["domain"].names == ["clipart", "real photos"]
    assert builder.info.features["label"].names == ["Bus", "apple"]
    assert builder.info.splits.total_num_examples == 8
    assert "@eaDir (3)" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["Mine", "Mine/clipart", "Mine/clipart/apple", "Mine/clipart/apple/deeper", ""])
def test_a_folder_that_cannot_be_read_is_named(root, tmp_path, monkeypatch, where):
    write_image(root / "Mine" / "clipart" / "apple" / "deeper" / "0.jpg")
    scandir = os.scandir

    def guarded(folder):
        if folder == str(root / where) or folder == root / where:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", guarded)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert f"The folder {root / where} cannot be read (Permission denied)" in text


def test_masks_beside_the_images_of_a_class_are_refused(root, tmp_path):
    write_image(root / "Mine" / "clipart" / "apple" / "masks" / "0.png")
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert f"{root / 'Mine' / 'clipart' / 'apple'} has a folder masks" in text
    assert str(root / "Mine" / "masks") in text


def test_masks_of_no_image_are_counted_or_refused(root, tmp_path, capsys):
    folder = root / "Mine"
    unused = ["clipart/apple/more.jpg", "clipart/cow/0.jpg", "sketch/apple/0.jpg"]
    write_masks(folder, [*ids_below(folder), *unused])
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert "masks of no image (3)" in capsys.readouterr().err
    (folder / "masks" / "clipart").rename(folder / "masks" / "other")
    shutil.rmtree(folder / "masks" / "real photos")
    assert "none of an image" in refused(root, tmp_path / "b", folder="Mine")
    (folder / "masks").rename(folder / "Masks")
    assert f"{folder / 'Masks'} must be called masks" in refused(root, tmp_path / "b", folder="Mine")


def test_a_class_that_loses_all_images_of_a_domain_is_named(root, tmp_path, capsys):
    for path in (root / "Mine" / "clipart" / "Bus").iterdir():
        path.write_bytes(b"")
    prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=1.0)
    said = capsys.readouterr().err
    assert "Of these folders no image is left: clipart/Bus." in said
    assert "Classes that are in one domain only: Bus (real photos)." in said


def test_classes_with_fewer_images_than_domains_are_named(tmp_path, capsys):
    folder = write_domains(tmp_path / "Mine", ("a", "b", "c"), ("many", "some"), images=1)
    (folder / "c" / "some" / "0.jpg").unlink()
    (folder / "c" / "some").rmdir()
    prepare(tmp_path, tmp_path / "prepared", folder="Mine")
    said = capsys.readouterr().err
    assert "Classes with fewer images than there are domains: some (2)." in said
    assert "one domain only" not in said


def test_a_single_domain_has_no_unusual_classes(tmp_path, capsys):
    write_domains(tmp_path / "Mine", ("a",), ("c", "d"), images=1)
    prepare(tmp_path, tmp_path / "prepared", folder="Mine")
    assert "Classes" not in capsys.readouterr().err
