"""The old name of `python -m experiments.background_evidence`."""

import sys

from experiments.background_evidence import main

if __name__ == "__main__":
    sys.exit(main())
