"""emoji_scenes: emoji of four vendors on photographs, with true masks; composed from files in this package."""

from align_jax.data.datasets.emoji_scenes.emoji_scenes import VENDORS, EmojiScenes, EmojiScenesConfig, config_name
from align_jax.data.datasets.emoji_scenes.preparation import prepare

__all__ = ["VENDORS", "EmojiScenes", "EmojiScenesConfig", "config_name", "prepare"]
