"""The old name of `python -m experiments.emoji_scenes`."""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from experiments.emoji_scenes.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
