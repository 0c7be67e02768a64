"""Are bad masks worse than none? python launch/mask_quality.py --workdir=runs/mask_quality --seeds=0,1 [--jobs=N]"""

import sys
from pathlib import Path

from align_jax.runtime.interruption import begin

HERE = Path(__file__).resolve().parent
# The studies stand beside the library and are not installed with it.
sys.path.insert(0, str(HERE.parent))

if __name__ == "__main__":
    begin()  # before the imports that take seconds
    from experiments.mask_quality.experiment import main

    config = HERE.parent / "configs" / "quickstart.py"
    sys.exit(main(sys.argv, config=str(config), program=(sys.executable, str(HERE / "main.py"))))
