"""Pretrain on emoji: python launch/pretrain_emoji.py --archives=GOOGLE.tgz,TWITTER.tgz --to=FILE.safetensors"""

import sys

from align_jax.emoji_pretraining.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
