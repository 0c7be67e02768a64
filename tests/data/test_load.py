"""A data set is known by its entry, or by its name alone."""

import pytest

from align_jax.configuration import default_config
from align_jax.data.domains import DomainData
from align_jax.data.load import DATASETS, find_dataset, load


@pytest.mark.parametrize("name", ["emoji_scenes", "vlcs", "terra_incognita", "domain_folders"])
def test_an_entry_is_complete(name):
    entry = DATASETS[name]
    assert find_dataset(name) is entry
    assert "@" in entry.citation.read_text()
    assert set(entry.published_examples) <= set(entry.domains)
    assert entry.prepare is not None
    assert all(field in default_config().data for field in entry.reads)


def test_a_data_set_without_an_entry_is_known_by_its_name(monkeypatch):
    data = DomainData("mine", ("a", "b"), {}, [], has_masks=False)
    monkeypatch.setitem(DATASETS, "mine", lambda config: data)
    config = default_config().data
    config.name = "mine"
    assert load(config) is data
    titles = [find_dataset(name).title for name in ("mine", "PACS", "office_home", "terra_incognita")]
    assert titles == ["mine", "PACS", "Office-Home", "Terra Incognita"]
    for name in ("mine", "PACS"):
        entry = find_dataset(name)
        assert (entry.domains, dict(entry.published_examples), entry.own_splits) == ((), {}, False)
