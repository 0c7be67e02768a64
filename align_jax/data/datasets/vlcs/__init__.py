"""VLCS: five classes in photographs of Caltech101, LabelMe, SUN09 and VOC2007."""

from align_jax.data.datasets.vlcs.vlcs import DOMAINS, VLCS, prepare

__all__ = ["DOMAINS", "VLCS", "prepare"]
