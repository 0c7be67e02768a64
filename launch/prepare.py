"""Prepare a data set ahead of time: python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR"""

import sys

from align_jax.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
