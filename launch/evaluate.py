"""Evaluate again: python launch/evaluate.py --workdir=DIR [--step=N] [--config.data.domain=...] [--out=FILE]"""

import sys

from align_jax.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
