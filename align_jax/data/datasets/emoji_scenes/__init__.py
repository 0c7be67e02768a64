"""emoji_scenes: emoji of four vendors on photographs, with true masks, made from files in this package."""

from align_jax.data.datasets.emoji_scenes.emoji_scenes import (
    DATASET,
    VENDORS,
    EmojiScenes,
    EmojiScenesConfig,
    config_name,
    prepare,
)

__all__ = ["DATASET", "VENDORS", "EmojiScenes", "EmojiScenesConfig", "config_name", "prepare"]
