"""domain_folders: any data set laid out as FOLDER/DOMAIN/CLASS/IMAGE."""

from align_jax.data.datasets.domain_folders.domain_folders import DATASET, DomainFolders, named, prepare

__all__ = ["DATASET", "DomainFolders", "named", "prepare"]
