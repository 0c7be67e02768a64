"""The README's example runs as it is printed, and no page has a broken link or a blank."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_library_example_runs():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for metric in ("masker/distinction", "classifier/egl", "classifier/mine"):
        assert metric in result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    assert page.name != "README.md" or len(linked) >= 4
    for path in linked:
        assert (page.parent / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_was_filled_in(page):
    assert not re.search(r"^[A-Z]{4,}$|<!--", page.read_text(), flags=re.MULTILINE)
