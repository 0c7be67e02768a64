"""The data sets, by name: a new one is a folder in `datasets/` and a line here."""

from collections.abc import Callable

import ml_collections

from align_jax.data.datasets import domain_folders, emoji_scenes, terra_incognita, vlcs
from align_jax.data.datasets.dataset import Dataset
from align_jax.data.domains import DomainData

# A bare function will do in place of an entry: what it loads is then known by its name in here.
DATASETS: dict[str, Dataset | Callable[[ml_collections.ConfigDict], DomainData]] = {
    "emoji_scenes": emoji_scenes.DATASET,
    "vlcs": vlcs.DATASET,
    "terra_incognita": terra_incognita.DATASET,
    "domain_folders": domain_folders.DATASET,
}


def find_dataset(name: str) -> Dataset:
    """What is known of a data set, given the name that a config or a run's results call it by.

    A name that `DATASETS` does not have is that of a user's folder, see `domain_folders`.
    """
    entry = DATASETS.get(name)
    if entry is None:
        return domain_folders.named(name)
    return entry if isinstance(entry, Dataset) else Dataset(entry, title=name)


def load(config: ml_collections.ConfigDict) -> DomainData:
    """The data set that `config.name` names, prepared under `config.prepared` if it was not yet.

    Args:
      config: a config's `data`; its `name` is a key of `DATASETS`.

    Raises:
      UserError: the data are missing or broken, or the protocol does not fit them; says what to do.
    """
    entry = DATASETS[config.name]
    return entry.load(config) if isinstance(entry, Dataset) else entry(config)
