"""VLCS: five classes in photographs of Caltech101, LabelMe, SUN09 and VOC2007."""

from align_jax.data.datasets.vlcs.vlcs import DATASET, DOMAINS, VLCS, prepare

__all__ = ["DATASET", "DOMAINS", "VLCS", "prepare"]
