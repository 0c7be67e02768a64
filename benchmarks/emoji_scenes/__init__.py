"""Moved: `experiments.emoji_scenes`."""
