"""Identical images of several domains are counted and named, and kept, dropped or refused."""

import functools
import itertools
import json
import shutil

import pytest

from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.preparing import builder as domain_images_builder
from align_jax.data.preparing.builder import shards
from tests.data.image_files import left_behind, read_all, write_domains
from tests.data.small_folders import refused

# Groups of identical files: the first domain has two of the first, and the second is of another class elsewhere.
SAME = (
    ("a/c/0.jpg", "a/d/9.jpg", "b/c/7.jpg", "e/c/7.jpg"),
    ("b/d/1.jpg", "e/c/8.jpg"),
)
DROPPED = {"b/c/7.jpg", "e/c/7.jpg", "e/c/8.jpg"}
IN_ONE_DOMAIN = ("b/c/0.jpg", "b/c/5.jpg")


@pytest.fixture
def root(tmp_path):
    folder = write_domains(tmp_path / "data" / "Mine", ("a", "b", "e"), ("c", "d"))
    for first, *others in (*SAME, IN_ONE_DOMAIN):
        for other in others:
            shutil.copy(folder / first, folder / other)
    return tmp_path / "data"


def all_ids(builder):
    return {record["id"] for record in itertools.chain(*read_all(builder).values())}


def test_by_default_they_are_kept_counted_and_named(root, tmp_path, capsys):
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    said = capsys.readouterr().err
    assert "6 images of Mine are in several domains (2 identical files)" in said
    assert "a test on one domain then sees images of the others' training" in said
    assert "a/c/0.jpg = a/d/9.jpg = b/c/7.jpg, b/d/1.jpg = e/c/8.jpg." in said
    assert builder.info.splits.total_num_examples == 17
    assert list(map(tuple, builder.info.metadata["shared"])) == list(SAME)
    assert builder.info.metadata["dropped"] == []
    # Those within a domain are found as before.
    assert set(builder.info.metadata["duplicates"]) == {"a", "b"}
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert "(17 images, 0 left out, 2 files in several domains)" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_dropping_keeps_those_of_the_first_domain(root, tmp_path, monkeypatch, capsys, size):
    monkeypatch.setattr(domain_images_builder, "shards", functools.partial(shards, size=size))
    builder = prepare(root, tmp_path / "prepared", folder="Mine", on_duplicate="drop")
    assert "those of the first domain are kept, the others left out" in capsys.readouterr().err
    kept = all_ids(builder)
    assert not kept & DROPPED
    assert {"a/c/0.jpg", "a/d/9.jpg", "b/d/1.jpg", *IN_ONE_DOMAIN} <= kept
    assert builder.info.splits.total_num_examples == len(kept) == 14
    metadata = builder.info.metadata
    assert set(metadata["dropped"]) == DROPPED
    assert [set(group) for group in metadata["shared"]] == list(map(set, SAME))
    ids = {split: [record["id"] for record in records] for split, records in read_all(builder).items()}
    assert [[ids["b"][index] for index in group] for group in metadata["duplicates"]["b"]] == [list(IN_ONE_DOMAIN)]
    for policy in ("drop", "error"):  # nothing is in two domains any more
        prepare(root, tmp_path / "prepared", folder="Mine", on_duplicate=policy)
        assert "(14 images, 3 left out)" in capsys.readouterr().err
    text = refused(root, tmp_path / "prepared", folder="Mine", on_duplicate="keep")
    assert "was prepared with on_duplicate=drop, which left out 3 images, but on_duplicate is keep" in text


def test_they_can_be_refused(root, tmp_path):
    text = refused(root, tmp_path / "prepared", folder="Mine", on_duplicate="error")
    for part in ("6 images", "a/c/0.jpg = a/d/9.jpg = b/c/7.jpg", "on_duplicate=drop"):
        assert part in text
    assert not left_behind(tmp_path / "prepared")


def test_what_was_prepared_with_them_is_refused_where_they_are_not_wanted(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    for policy in ("drop", "error"):
        text = refused(root, tmp_path / "prepared", folder="Mine", on_duplicate=policy)
        for part in ("2 files that are in several domains", f"on_duplicate is {policy}", "on_duplicate=keep"):
            assert part in text
    # An earlier version did not look for them: only "keep" can be had.
    path = tmp_path / "prepared" / "domain_folders" / "Mine" / "1.0.0" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["shared"], metadata["dropped"]
    path.write_text(json.dumps(metadata))
    path.with_name("checksums.json").unlink()
    assert "did not look for them" in refused(root, tmp_path / "prepared", folder="Mine", on_duplicate="drop")
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 17


def test_a_domain_that_earlier_domains_have_is_refused_when_it_is_dropped(root, tmp_path):
    shutil.rmtree(root / "Mine" / "e")
    shutil.copytree(root / "Mine" / "a", root / "Mine" / "e")
    text = refused(root, tmp_path / "prepared", folder="Mine", on_duplicate="drop")
    assert "All images of the domain e that can be read are in earlier domains too" in text
    assert "set on_duplicate=keep, or remove the folder e" in text
    for remedy in (lambda: None, lambda: shutil.rmtree(root / "Mine" / "e")):
        remedy()
        policy = "keep" if (root / "Mine" / "e").exists() else "drop"
        prepare(root, tmp_path / policy, folder="Mine", on_duplicate=policy)


def test_without_them_nothing_is_said(tmp_path, capsys):
    write_domains(tmp_path / "Mine", ("a", "b"), ("c", "d"))
    builder = prepare(tmp_path, tmp_path / "prepared", folder="Mine", on_duplicate="error")
    assert builder.info.metadata["shared"] == []
    assert "several domains" not in capsys.readouterr().err
    prepare(tmp_path, tmp_path / "prepared", folder="Mine", on_duplicate="drop")
