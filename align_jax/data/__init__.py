"""Data sets, their preparation, domains, splits, augmentation and the input pipeline."""
