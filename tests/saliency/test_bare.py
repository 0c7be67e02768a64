"""The bare package needs JAX, Flax, NumPy and jaxtyping, and what these need themselves; nothing of training."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PROGRAM = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {blocked!r}:
            raise ModuleNotFoundError(f"{{top}} is not of the bare package", name=name)

sys.meta_path.insert(0, Blocked())
import jax, jax.numpy as jnp
from flax import linen as nn
from align_jax import explanations, saliency
from align_jax.explanations import faithfulness, localisation
module = nn.Sequential([nn.Conv(2, (3, 3)), nn.relu, lambda x: x.mean((1, 2))])
image = jnp.ones((1, 4, 4, 3))
cut = saliency.cut_linen(module, module.init(jax.random.key(0), image), "layers_0")
print(saliency.grad_cam(cut, image).shape)
{more}
"""


def name(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def closure(names):
    """The distributions, and all that they require."""
    found, open_ = set(), {name(each) for each in names}
    while open_:
        one = open_.pop()
        found.add(one)
        required = importlib.metadata.requires(one) or []
        installed = [each for each in required if "extra ==" not in each and _is_installed(name(each))]
        open_ |= {name(each) for each in installed} - found
    return found


def _is_installed(distribution):
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def blocked():
    """The packages that are installed here and that the bare package does not bring."""
    bare = closure(PROJECT["dependencies"])
    packages = importlib.metadata.packages_distributions()
    return {
        package
        for package, distributions in packages.items()
        if package not in ("align_jax", "__editable___align_jax_0_1_0_finder", "_distutils_hack")
        and not bare & {distribution.lower().replace("_", "-") for distribution in distributions}
    }


def run(more=""):
    program = PROGRAM.format(blocked=blocked(), more=more)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_it_names_its_packages_as_lower_bounds():
    assert sorted(map(name, PROJECT["dependencies"])) == ["flax", "jax", "jaxtyping", "numpy"]
    assert all(">=" in requirement for requirement in PROJECT["dependencies"])


def test_nothing_else_is_imported():
    assert {"tensorflow_datasets", "grain", "ml_collections", "PIL", "cv2", "matplotlib"} <= blocked()
    result = run()
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(1, 4, 4)\n"


def test_what_trains_is_blocked():
    assert "ml_collections is not of the bare package" in run("import align_jax.configuration").stderr
