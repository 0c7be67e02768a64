"""The data sets by name. A new one is a folder in `datasets/` and a line here."""

from collections.abc import Callable

import ml_collections

from align_jax.data.datasets import domain_folders, emoji_scenes, terra_incognita, vlcs
from align_jax.data.datasets.dataset import Dataset
from align_jax.data.domains import DomainData

# A function can stand here instead of an entry. Its key is then the data set's title.
DATASETS: dict[str, Dataset | Callable[[ml_collections.ConfigDict], DomainData]] = {
    "emoji_scenes": emoji_scenes.DATASET,
    "vlcs": vlcs.DATASET,
    "terra_incognita": terra_incognita.DATASET,
    "domain_folders": domain_folders.DATASET,
}


def find_dataset(name: str) -> Dataset:
    """The entry of a data set, by its name in a config or in a run's results.

    A name that is not in `DATASETS` is the name of a user's folder, see `domain_folders`.
    """
    entry = DATASETS.get(name)
    if entry is None:
        return domain_folders.named(name)
    return entry if isinstance(entry, Dataset) else Dataset(entry, title=name)


def load(config: ml_collections.ConfigDict) -> DomainData:
    """Loads a data set, and first prepares it under `config.prepared` if that was not done yet.

    Args:
      config: a config's `data`; its `name` is a key of `DATASETS`.

    Raises:
      UserError: the data are missing or broken, or the protocol does not fit them.
    """
    entry = DATASETS[config.name]
    return entry.load(config) if isinstance(entry, Dataset) else entry(config)
