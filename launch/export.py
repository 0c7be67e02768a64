"""Export the classifier: python launch/export.py --workdir=DIR [--step=N] --to=FILE.safetensors"""

import sys

from align_jax.cli.commands import export

if __name__ == "__main__":
    sys.exit(export(sys.argv))
