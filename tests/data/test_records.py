"""A prepared data set is read as it was written, and one that is damaged says so in one sentence."""

import ml_collections
import numpy as np
import pytest

from align_jax.configuration import default_config
from align_jax.data.domains import column
from align_jax.data.load import load
from align_jax.errors import UserError
from tests.configs.test_benchmarks import CLASSES, write_images


@pytest.fixture
def config(tmp_path):
    """VLCS, prepared from two images a class."""
    write_images(tmp_path, "vlcs", each=2)
    config = default_config().data
    config.name, config.domain = "vlcs", "SUN09"
    config.root, config.prepared = str(tmp_path), str(tmp_path / "prepared")
    load(config)
    return config


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


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("dataset_info.json", lambda path: path.write_text("{")),
        ("features.json", lambda path: path.unlink()),
        ("features.json", lambda path: path.write_text("{}")),
        ("metadata.json", lambda path: path.unlink()),
        ("vlcs-SUN09*", lambda path: path.unlink()),
        ("vlcs-SUN09*", lambda path: path.write_bytes(b"")),
        ("vlcs-SUN09*", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
        ("vlcs-SUN09*", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    ],
)
def test_damage_is_one_sentence_with_a_remedy(config, tmp_path, pattern, damage):
    (path,) = (tmp_path / "prepared" / "vlcs").glob(f"*/{pattern}")
    damage(path)
    with pytest.raises(UserError, match="delete it to prepare anew") as caught:
        read_everything(config)
    assert "\n" not in str(caught.value)


def test_ids_are_known_without_decoding(config, monkeypatch):
    data = load(config)
    part = data.train["VOC2007"]
    expected = [part[index]["id"] for index in range(len(part))]

    def decoded(*arguments):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("align_jax.data.records.decode_stored", decoded)
    assert column(part, "id") == expected
    assert len(set(expected)) == len(expected) == 8
