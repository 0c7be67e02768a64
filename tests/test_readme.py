"""The README's example runs as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_library_example_runs():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for metric in ("masker/distinction", "classifier/egl", "classifier/mine"):
        assert metric in result.stdout


def test_every_path_that_it_names_exists():
    root = Path(__file__).parents[1]
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert len(linked) >= 4
    for path in linked:
        assert (root / path).exists(), path


def test_every_number_was_filled_in():
    assert not re.search(r"^[A-Z]{4,}$", README, flags=re.MULTILINE)
