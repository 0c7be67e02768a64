"""Tables of many runs: python launch/report.py DIR... [--out=DIR] [--metric=accuracy --metric=auc ...]"""

import sys

from align_jax.cli.report import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
