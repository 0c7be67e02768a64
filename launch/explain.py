"""Explain your own images: python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] IMAGE_OR_FOLDER..."""

import sys

from align_jax.cli.explain import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
