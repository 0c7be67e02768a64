"""The old name of `python -m experiments.emoji_scenes`."""

import sys

from experiments.emoji_scenes.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
