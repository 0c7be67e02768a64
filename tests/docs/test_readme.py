"""The README's example runs as printed, its layout table is the tree, and no page has a broken link or a blank."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_tree import FLOOR

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "align_jax" / "data" / "datasets").glob("*/README.md")),
    *sorted((ROOT / "launch").glob("*/README.md")),
]


def page_name(page):
    return str(page.relative_to(ROOT))


def anchors(page):
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_library_example_runs():
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for metric in ("masker/distinction", "classifier/egl", "classifier/mine"):
        assert metric in result.stdout


def test_the_readme_is_short():
    assert len(README.splitlines()) < 250


def test_the_layout_table_is_the_tree():
    section = README.partition("## How the code is laid out")[2].partition("\n## ")[0]
    first_cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    listed = [name.removesuffix(".py").rstrip("/") for name in re.findall(r"`([^`]+)`", " ".join(first_cells))]
    assert sorted(listed) == sorted(FLOOR)
    floors = [FLOOR[name] for name in listed]
    assert floors == sorted(floors)


def test_every_page_is_in_readme_and_on_the_site():
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(re.findall(r"\]\(docs/([^)#]+)", README))
    assert pages <= set(re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_path_that_a_page_names_exists(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!http)([^)]*)\)", prose)
    # These always have some: the pattern finds them.
    assert links or page not in (ROOT / "README.md", *(ROOT / "docs" / "tutorials").glob("*.md"))
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_everything_was_filled_in(page):
    assert not re.search(r"^@*[A-Z_]{4,}@*$|<!--", page.read_text(), flags=re.MULTILINE)
