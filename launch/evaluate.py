"""Evaluate again: python launch/evaluate.py --workdir=DIR [--step=N] [--config.data.domain=...] [--out=FILE]"""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.runtime.allocator import keep_freed_memory

    keep_freed_memory()  # before JAX allocates
    from align_jax.cli.evaluate import main

    sys.exit(main(sys.argv))
