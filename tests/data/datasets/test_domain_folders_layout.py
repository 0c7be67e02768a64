"""Where DOMAIN/CLASS/ begins: as a folder and as an archive the same, and never at a level that is not clear."""

import shutil
import zipfile

import pytest

from align_jax.data.datasets.domain_folders.domain_folders import find
from align_jax.errors import UserError
from tests.data.small_folders import refused


def write(root, *patterns):
    """Empty files, for `{a,b}` in a pattern one of each."""
    waiting, number = list(patterns), 0
    while waiting:
        pattern = waiting.pop()
        before, brace, rest = pattern.partition("{")
        if brace:
            names, _, after = rest.partition("}")
            waiting += [f"{before}{name}{after}" for name in names.split(",")]
        else:
            number += 1
            (root / pattern).mkdir(parents=True, exist_ok=True)
            (root / pattern / f"{number}.png").touch()


@pytest.fixture(params=["folder", "archive", "wrapped"])
def found(request, tmp_path):
    """What is found in a folder P that holds files as in the patterns, or in an archive of it; or the refusal."""

    def find_in(*patterns):
        root, workspace = tmp_path / "root", tmp_path / "workspace"
        write(root / "P", *patterns)
        workspace.mkdir()
        if request.param != "folder":
            top = root / "P" if request.param == "archive" else root
            root = shutil.make_archive(tmp_path / "P", "zip", top)
        try:
            data = find("P", tmp_path / root, workspace)
        except UserError as error:
            return str(error)
        return " ".join(data.domains), " ".join(data.classes), len(data.images)

    return find_in


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["kfold/{Art,Clip,Real}/{dog,cat,cow}"], ("Art Clip Real", "cat cow dog", 9)),
        (["a/b/{Art,Clip}/{dog,cat}"], ("Art Clip", "cat dog", 4)),
        (["kfold/Art/{dog,cat}"], ("Art", "cat dog", 2)),
        (["train/{cat,dog}/{s1,s2}"], ("cat dog", "s1 s2", 4)),
        (["train/cat/{s1,s2}", "train/dog/{s3,s4}"], ("train", "cat dog", 4)),
        (["{a,b}/{dog,cat}/images"], ("a b", "cat dog", 4)),
        (["{a,b}/{dog,cat}", "a/dog/{2020,2021}", "a/cat/2020"], ("a b", "cat dog", 7)),
        (["a/{c,d,e,f}/images", "a/c/thumbs"], ("a", "c d e f", 5)),
        (["{a,b}/dog/v1/frames", "{a,b}/cat/v2/frames"], ("a b", "cat dog", 4)),
        (["tiny/train/{n1,n2}/images", "tiny/{val,test}/images"], ("train", "n1 n2", 2)),
        (["P/{Art,Clip}/{dog,cat}", "notes/scans"], ("Art Clip", "cat dog", 4)),
    ],
)
def test_the_outermost_level_that_is_clear_is_taken(found, patterns, expected):
    assert found(*patterns) == expected


@pytest.mark.parametrize(
    "patterns",
    [
        ["{Art,Clip}/{train,val}/{dog,cat}"],
        ["{train,val}/{Art,Clip}/{dog,cat}"],
        ["data/{a,b}/{dog,cat}", "figures/{x,y}"],
        ["outer/data/{a,b}/{dog,cat}", "outer/figures/{x,y}"],
        ["{Art,Clip}/{train,val}/images/{dog,cat}", "Art/train"],
    ],
)
def test_a_level_that_is_not_clear_is_refused(found, patterns):
    text = found(*patterns)
    assert "not clear which folders of" in text
    assert "(cat, dog)" in text
    assert "give the folder right above the domains as folder" in text


def test_the_remedy_works(tmp_path):
    write(tmp_path / "P", "data/{a,b}/{dog,cat}", "figures/{x,y}")
    assert "2 images in folders of 1 folder (figures); 4 images in" in refused(
        tmp_path, tmp_path / "prepared", folder="P"
    )
    data = find("data", tmp_path / "P", tmp_path)
    assert (data.domains, data.classes) == (("a", "b"), ("cat", "dog"))


def test_a_folder_without_images_does_not_vanish_beside_the_one_with_all(tmp_path):
    write(tmp_path / "P", "Art/{dog,cat}/{2020,2021}")
    (tmp_path / "P" / "Sketch").mkdir()
    assert "(2020, 2021)" in refused(tmp_path, tmp_path / "prepared", folder="P")


def test_of_two_folders_of_the_name_in_an_archive_the_first_with_the_layout_is_taken(tmp_path):
    write(tmp_path / "in", "one/P/{a,b}", "two/P/{a,b}/{dog,cat}")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for file in (tmp_path / "in").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path / "in"))
    assert find("P", tmp_path / "other.zip", tmp_path).domains == ("a", "b")
