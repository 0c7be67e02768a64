"""Data: builders, domains, splits, augmentation and the input pipeline."""
