"""Explain your own images, or with several methods and metrics a run's own tests.

python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] [--methods=A,B] [--metrics=A,B] [--masks=FOLDER]
  [--labels=folders] [--beside=DIR,DIR] [--config.explain.FIELD=VALUE ...] [--compilation_cache=DIR|off]
  [IMAGE_OR_FOLDER...]
"""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.runtime.allocator import keep_freed_memory

    keep_freed_memory()  # before JAX allocates
    from align_jax.cli.explain import main

    sys.exit(main(sys.argv))
