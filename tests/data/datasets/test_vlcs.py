"""VLCS: its layout, its counts, and the other copy."""

import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from align_jax.data.datasets.vlcs import prepare, vlcs
from align_jax.data.datasets.vlcs.vlcs import CLASSES, DOMAINS, PUBLISHED
from tests.data.image_files import read_all, refusal, write_domains, write_image


@pytest.fixture
def root(tmp_path):
    write_domains(tmp_path / "data" / "VLCS", DOMAINS, CLASSES, images=1)
    return tmp_path / "data"


def refused(root, prepared):
    return refusal(prepare, root, prepared)


def test_expected_counts_are_those_of_the_published_copy():
    totals = {domain: sum(counts.values()) for domain, counts in PUBLISHED.items()}
    assert totals == {"Caltech101": 1415, "LabelMe": 2656, "SUN09": 3282, "VOC2007": 3376}
    assert sum(totals.values()) == 10_729
    assert PUBLISHED["VOC2007"]["person"] == 1499
    assert PUBLISHED["SUN09"]["bird"] == 20


def test_domains_are_splits_in_the_usual_order(root, tmp_path):
    (root / "VLCS" / "readme.txt").write_text("?")
    write_image(root / "VLCS" / "Caltech101" / "cat" / "0.jpg")  # no class of VLCS
    builder = prepare(root, tmp_path / "prepared")
    assert builder.info.name == "vlcs"
    assert tuple(builder.info.features["domain"].names) == DOMAINS
    assert tuple(builder.info.features["label"].names) == CLASSES
    assert builder.info.metadata["splits"] == {domain: domain for domain in DOMAINS}
    records = read_all(builder)
    assert {split: [r["id"] for r in members] for split, members in records.items()} == {
        domain: [f"{domain}/{name}/0.jpg" for name in CLASSES] for domain in DOMAINS
    }
    for domain, members in records.items():
        assert [record["label"] for record in members] == list(range(5))
        assert {record["domain"] for record in members} == {DOMAINS.index(domain)}
    assert "Fang" in builder.info.citation
    assert "tensorflow" not in sys.modules


def test_a_mismatch_is_shown_as_a_table_and_goes_on(root, tmp_path, capsys):
    prepare(root, tmp_path / "prepared")
    error = capsys.readouterr().err
    assert "not the copy of 10,729 images" in error
    (row,) = [line for line in error.splitlines() if line.startswith("car ")]
    assert row.split("  ")[-1].strip() == "4 (not 2,963)"
    assert "1 (not 1,209)" in row
    (total,) = [line for line in error.splitlines() if line.startswith("all ")]
    assert "5 (not 2,656)" in total
    assert total.endswith("20 (not 10,729)")


def test_the_right_counts_show_no_table(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(vlcs, "PUBLISHED", {domain: dict.fromkeys(CLASSES, 1) for domain in DOMAINS})
    prepare(root, tmp_path / "prepared")
    assert "not" not in capsys.readouterr().err


def test_an_absent_class_or_domain_is_refused(root, tmp_path):
    for path in (root / "VLCS").glob("*/dog/*"):
        path.unlink()
    assert "no image of the class dog" in refused(root, tmp_path / "prepared")
    shutil.rmtree(root / "VLCS" / "SUN09")
    text = refused(root, tmp_path / "prepared")
    assert f"{root / 'VLCS'} has no folder SUN09" in text
    assert "domainbed.scripts.download" in text


@pytest.mark.parametrize("place", ["", "VLCS"])
def test_the_other_copy_is_recognised(tmp_path, place):
    folder = tmp_path / "data" / place
    write_domains(folder, ("CALTECH/train", "LABELME/test", "PASCAL/crossval", "SUN/test"), "01234", images=1)
    text = refused(tmp_path / "data", tmp_path / "prepared")
    for part in ("the other copy of VLCS", "Dassl", "CALTECH, LABELME, PASCAL and SUN", "DomainBed"):
        assert part in text


def test_an_archive_is_read_wherever_the_folders_are_in_it(root, tmp_path):
    expected = read_all(prepare(root, tmp_path / "a"))
    archives = tmp_path / "archives"
    archives.mkdir()
    with tarfile.open(archives / "VLCS.tar.gz", "w:gz") as archive:
        archive.add(root / "VLCS", "some/where/VLCS")
    assert read_all(prepare(archives, tmp_path / "b")) == expected
    assert read_all(prepare(archives / "VLCS.tar.gz", tmp_path / "c")) == expected
    assert read_all(prepare(root / "VLCS", tmp_path / "d")) == expected


def test_a_namesake_of_one_domain_does_not_hide_the_data_set(root, tmp_path):
    write_image(root / "Caltech101" / "airplanes" / "0.jpg")
    assert prepare(root, tmp_path / "prepared").info.splits.total_num_examples == 20


def test_the_second_archive_is_read_where_the_first_is_another(root, tmp_path):
    expected = read_all(prepare(root, tmp_path / "a"))
    archives = tmp_path / "archives"
    archives.mkdir()
    for name, folder in (("VLCS.tar", "other"), ("vlcs.tar", "VLCS")):
        (root / folder).mkdir(exist_ok=True)
        with tarfile.open(archives / name, "w") as archive:
            archive.add(root / folder, "VLCS")
    assert read_all(prepare(archives, tmp_path / "b")) == expected


def test_what_is_missing_is_said(tmp_path):
    text = refused(tmp_path / "nowhere", tmp_path / "prepared")
    for part in ("nowhere", "Caltech101, LabelMe, SUN09, VOC2007", "domainbed.scripts.download", "VLCS, or give"):
        assert part in text
    assert "mount the bucket" in refused(Path("gs://bucket"), tmp_path / "prepared")
