"""Tables of many runs: python launch/report.py DIR... [--out=DIR] [--metric=accuracy --metric=auc ...]"""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.cli.report import main

    sys.exit(main(sys.argv))
