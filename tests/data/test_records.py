"""A prepared data set is read as it was written, and one that is damaged says so in one sentence."""

import copy
import json
import shutil
from pathlib import Path

import ml_collections
import numpy as np
import pytest

from align_jax.configuration import default_config
from align_jax.data.domains import column
from align_jax.data.load import load
from align_jax.errors import UserError
from tests.configs.test_benchmarks import CLASSES, write_images


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The `data` of a config of VLCS, prepared from two images a class."""
    folder = tmp_path_factory.mktemp("whole")
    write_images(folder, "vlcs", each=2)
    config = default_config().data
    config.name, config.domain = "vlcs", "SUN09"
    config.root, config.prepared = str(folder), str(folder / "prepared")
    load(config)
    return config


@pytest.fixture
def config(whole, tmp_path):
    """The same, of a copy."""
    copied = copy.deepcopy(whole)
    copied.prepared = str(shutil.copytree(whole.prepared, tmp_path / "prepared"))
    return copied


def read_everything(config: ml_collections.ConfigDict):
    data = load(config)
    return [
        source[i] for source in (*data.train.values(), *(s.source for s in data.evaluation)) for i in range(len(source))
    ]


def test_records_are_decoded_and_labels_known_without(config):
    data = load(config)
    source = data.evaluation[-1].source
    assert column(source, "label") == [source[i]["label"] for i in range(len(source))]
    assert source[0]["image"].shape == (30, 40, 3)
    assert source[0]["id"] == "SUN09/bird/000.jpg"
    assert np.bincount(column(source, "label")).tolist() == [2] * len(CLASSES["vlcs"])


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a flipped bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 4]) + path.read_bytes()[1:]),
}
SMALL = ("dataset_info.json", "features.json", "metadata.json", "label.labels.txt", "domain.labels.txt")


def in_prepared(config, name):
    (path,) = Path(config.prepared, "vlcs").glob(f"*/{name}")
    return path


def refused(config):
    with pytest.raises(UserError, match=r"delete (it|the folder) to prepare anew") as caught:
        read_everything(config)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*SMALL, "checksums.json", "vlcs-SUN09*"])
def test_damage_is_one_sentence_with_a_remedy(config, name, damage):
    if (name, damage) in (("checksums.json", "missing"), ("vlcs-SUN09*", "a flipped bit")):
        pytest.skip("an earlier version's data set, and a bit that belongs to no record")
    DAMAGES[damage](in_prepared(config, name))
    refused(config)


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros"])
@pytest.mark.parametrize("name", SMALL)
def test_an_earlier_versions_data_set_has_no_checksums_and_is_checked_too(config, name, damage):
    in_prepared(config, "checksums.json").unlink()
    DAMAGES[damage](in_prepared(config, name))
    refused(config)


@pytest.mark.parametrize("value", [None, 5, [], {"SUN09": "nowhere"}])
@pytest.mark.parametrize("name", ["splits", "skipped", "duplicates"])
def test_metadata_of_another_kind_are_refused(config, name, value):
    if (name, value) in (("skipped", {"SUN09": "nowhere"}), ("duplicates", {"SUN09": "nowhere"})):
        pytest.skip("of the right kind")
    in_prepared(config, "checksums.json").unlink()
    path = in_prepared(config, "metadata.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    refused(config)


def test_the_remedy_for_damage_works(config):
    in_prepared(config, "label.labels.txt").write_text("bird\ncar\nchair\ndog\nhuman\n")
    refused(config)
    shutil.rmtree(in_prepared(config, "label.labels.txt").parent)
    assert len(read_everything(config)) == 40


def test_an_earlier_versions_data_set_opens(config):
    in_prepared(config, "checksums.json").unlink()
    assert len(read_everything(config)) == 40


def test_ids_are_known_without_decoding(config, monkeypatch):
    data = load(config)
    part = data.train["VOC2007"]
    expected = [part[index]["id"] for index in range(len(part))]

    def decoded(*arguments):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("align_jax.data.records.decode_stored", decoded)
    assert column(part, "id") == expected
    assert len(set(expected)) == len(expected) == 8
