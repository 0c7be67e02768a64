"""Pretrains a small backbone on emoji and backgrounds that emoji_scenes does not use.

`launch/pretrain_emoji.py` makes the file that `config.classifier.pretrained = "emoji"` names.
"""
