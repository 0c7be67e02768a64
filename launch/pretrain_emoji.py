"""Pretrain on emoji: python launch/pretrain_emoji.py --archives=GOOGLE.tgz,TWITTER.tgz --to=FILE.safetensors"""

import sys
from pathlib import Path

# The studies stand beside the library and are not installed with it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from experiments.pretrain_emoji.command_line import main

    sys.exit(main(sys.argv))
