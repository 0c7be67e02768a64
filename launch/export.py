"""Export the classifier: python launch/export.py --workdir=DIR [--step=N] --to=FILE.safetensors"""

import sys

from align_jax.cli.export import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
