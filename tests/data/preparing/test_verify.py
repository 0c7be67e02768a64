"""Reading back finds the records that are not as they were written."""

import pytest
import tensorflow_datasets as tfds

from align_jax.data.datasets import vlcs
from align_jax.data.datasets.vlcs.vlcs import CLASSES, DOMAINS
from align_jax.data.preparing.verify import verify
from align_jax.errors import UserError
from tests.data.image_files import write_domains, write_image


@pytest.fixture
def root(tmp_path):
    write_domains(tmp_path / "VLCS", DOMAINS, CLASSES, images=1)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"image": b"no image"}, "not an image"),
        ({"id": b"the same"}, "its id comes twice"),
        ({"label": 5}, "label 5"),
        ({"label": -1}, "label -1"),
        ({"domain": 4}, "domain 4"),
    ],
)
def test_verifying_finds_bad_records(root, monkeypatch, change, part):
    builder = vlcs.prepare(root, root / "prepared")
    assert verify(builder)["SUN09"]["car"] == 1
    records = {split: [record | change for record in members] for split, members in undecoded(builder).items()}
    monkeypatch.setattr(builder, "as_data_source", lambda split, decoders: records[split])
    with pytest.raises(UserError, match=part):
        verify(builder)
    monkeypatch.setattr(builder, "as_data_source", lambda split, decoders: records[split][:-1])
    with pytest.raises(UserError, match="has 4 records, not 5"):
        verify(builder)


def undecoded(builder):
    skip = {"image": tfds.decode.SkipDecoding()}
    return {split: list(builder.as_data_source(split, decoders=skip)) for split in builder.info.splits}


def flip(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:70_000], flip])
def test_a_damaged_file_is_refused(root, damage):
    write_image(root / "VLCS" / "SUN09" / "car" / "large.png", height=600, width=600)
    builder = vlcs.prepare(root, root / "prepared")
    (shard,) = (root / "prepared" / "vlcs" / "1.0.0").glob("*SUN09*")
    content = shard.read_bytes()
    assert len(content) > 100_000
    shard.write_bytes(damage(content))
    with pytest.raises(UserError, match=r"^SUN09: the record .* to prepare anew") as refusal:
        verify(builder)
    assert "\n" not in str(refusal.value)
