"""Many runs: python launch/sweep.py --config=configs/quickstart.py --workdir=DIR --methods=align,erm --seeds=0,1,2"""

import sys
from pathlib import Path

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from align_jax.cli.sweep import main

    sys.exit(main(sys.argv, program=(sys.executable, str(Path(__file__).with_name("main.py")))))
