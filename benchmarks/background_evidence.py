"""The old name of `python -m experiments.background_evidence`."""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from experiments.background_evidence import main

if __name__ == "__main__":
    sys.exit(main())
