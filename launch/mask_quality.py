"""Are bad masks worse than none? python launch/mask_quality.py --workdir=runs/mask_quality --seeds=0,1 [--jobs=N]"""

import sys
from pathlib import Path

from align_jax.mask_quality import main

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    config = here.parent / "configs" / "quickstart.py"
    sys.exit(main(sys.argv, config=str(config), program=(sys.executable, str(here / "main.py"))))
