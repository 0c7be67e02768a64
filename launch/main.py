"""Train and evaluate: python launch/main.py --config=configs/quickstart.py --workdir=DIR [--config.optim.lr=...]"""

import sys

from align_jax.cli.train import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
