"""A small backbone pretrained on emoji that emoji_scenes does not use, on backgrounds that it does not use either.

`launch/pretrain_emoji.py` makes the file that `config.classifier.pretrained = "emoji"` begins with.
"""
