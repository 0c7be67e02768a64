"""Trains one run of the study: `launch/main.py` with its method added, `python -m experiments.guidance_forms.train`."""

import sys

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.cli.train import main
    from experiments.guidance_forms.method import register

    register()
    sys.exit(main(sys.argv))
