"""Prepare a data set ahead of time: python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR"""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.cli.prepare import main

    sys.exit(main(sys.argv))
