"""Export the classifier: python launch/export.py --workdir=DIR [--step=N] --to=FILE.safetensors"""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.cli.export import main

    sys.exit(main(sys.argv))
