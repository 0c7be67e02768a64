"""Pages of the site that do not lie in docs/: README, the data sets' pages, the API reference and a few more.

MkDocs calls the functions `on_*`. The API reference follows the tree: a page for each package, in the order of README's
layout table, with the package's public modules one after the other.
"""

import ast
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from align_jax.algorithms import ALGORITHMS
from align_jax.configuration import settings
from align_jax.data.load import DATASETS, find_dataset

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "align_jax"

# Pages that lie elsewhere in the repository, by their place in the site.
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "cloud_tpu.md": "launch/tpu/README.md",
    "licences/emoji_scenes.md": "align_jax/data/datasets/emoji_scenes/assets/ATTRIBUTION.md",
    "licences/emoji_backbone.md": "align_jax/models/emoji_backbone/ATTRIBUTION.md",
} | {
    f"datasets/{path.parent.name}.md": path.relative_to(ROOT).as_posix()
    for path in sorted((LIBRARY / "data" / "datasets").glob("*/README.md"))
}
COPIED = ("LICENSE", "CITATION.cff")
CONFIGS = "api/configs.md"
SETTINGS_PAGE = "settings.md"
ENTRIES_PAGE = "methods_and_data_sets.md"
LINK = re.compile(r"(\]\()(?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?(\))")


def packages() -> list[Path]:
    """Every package and every module beside them, each package before those in it, in the order of README's table."""
    table = (ROOT / "README.md").read_text().partition("## How the code is laid out")[2].partition("\n## ")[0]
    first_cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    found = []
    for name in re.findall(r"`([^`]+)`", " ".join(first_cells)):
        path = LIBRARY / name
        found.append(path)
        if path.is_dir():
            found += sorted(init.parent for init in path.rglob("*/__init__.py"))
    return found


def dotted(path: Path) -> str:
    """`align_jax/data/load.py` as `align_jax.data.load`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def modules(package: Path) -> list[Path]:
    """The public modules of a package, without those of the packages in it; a module alone is its own."""
    if package.is_file():
        return [package]
    return [path for path in sorted(package.glob("*.py")) if not path.name.startswith("_")]


def public_names(path: Path) -> list[str]:
    """The public functions, classes and values of a package's `__init__.py`."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def api_page(path: Path) -> str:
    """Where the reference of a package or a module stands in the site."""
    return f"api/{dotted(path).removeprefix('align_jax.')}.md"


def reference(path: Path) -> str:
    """The Markdown of a package's page: mkdocstrings fills in the docstrings."""
    name = dotted(path)
    lines = [f"# `{name}`", ""]
    if path.is_dir():
        lines += [f"::: {name}", "    options:", "      show_root_heading: false", "      members: "]
        lines[-1] += str(public_names(path / "__init__.py"))
        for module in modules(path):
            lines += ["", f"::: {dotted(module)}"]
    else:
        lines += [f"::: {name}", "    options:", "      show_root_heading: false"]
    return "\n".join(lines) + "\n"


def configs_reference() -> str:
    """The Markdown of the page of configs/: what each config file says of itself."""
    lines = ["# `configs`", "", "Config files, for `--config=`. Each gives its command, its hardware and its number."]
    for path in modules(ROOT / "configs"):
        lines += ["", f"::: {dotted(path)}"]
    return "\n".join(lines) + "\n"


def settings_table() -> str:
    """The Markdown of the page of all settings: defaults and valid values, in groups."""
    groups: dict[str, list[str]] = {}
    for field, setting in settings().items():
        row = f"| `{field}` | `{setting.default!r}` | {setting.rule.valid()} |"
        groups.setdefault(field.partition(".")[0] if "." in field else "", []).append(row)
    lines = [
        "# Settings",
        "",
        "Every field of a config, for config files and for `--config.FIELD=VALUE`. The comments of ",
    ]
    lines[-1] += "`align_jax/configuration.py` say what each one means."
    for group in sorted(groups, key=bool):  # first those without a group, then in the order of `SETTINGS`
        lines += ["", *([f"## `config.{group}`", ""] if group else []), "| field | default | valid |", "|---|---|---|"]
        lines += groups[group]
    return "\n".join(lines) + "\n"


def entries_table() -> str:
    """The Markdown of the page of methods and data sets: what their entries in the code say of them."""
    lines = ["# Methods and data sets", "", "## `config.algorithm`", ""]
    lines += ["| name | title | masks of its own | source |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {a.title} | {a.guidance} | {a.citation} |" for name, a in ALGORITHMS.items()]
    lines += ["", "## `config.data.name`"]
    for name in DATASETS:
        entry = find_dataset(name)
        lines += ["", f"### `{name}`: {entry.title}", ""]
        lines += [f"Domains: {', '.join(entry.domains) or 'the folders that hold images'}."]
        if entry.published_examples:
            counts = ", ".join(f"{domain} {count:,}" for domain, count in entry.published_examples.items())
            lines += ["", f"Images in the copy that published results use: {counts}."]
        if entry.citation is not None:
            lines += ["", "```bibtex", entry.citation.read_text().strip(), "```"]
    return "\n".join(lines) + "\n"


def site_of(path: Path) -> str | None:
    """Where something of the repository is in the site, with its anchor; None for what is not there."""
    name = path.relative_to(ROOT).as_posix()
    for page, source in ELSEWHERE.items():
        if name == source:
            return page
    if name in COPIED:
        return name
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if name.startswith("configs/") and path.suffix == ".py":
        return f"{CONFIGS}#{dotted(path)}"
    if path.suffix == ".py" and LIBRARY in path.parents:
        package = path if path.parent == LIBRARY else path.parent
        anchor = "" if path.name == "__init__.py" or package == path else f"#{dotted(path)}"
        return api_page(package) + anchor
    return None


def with_links_of_the_site(text: str, source: Path, page: str) -> str:
    """Markdown of `source` whose links into the repository lead to pages of the site."""

    def replaced(match: re.Match[str]) -> str:
        opening, link, anchor, closing = match.groups()
        if not link:
            return match[0]
        target = site_of(Path(os.path.normpath(source.parent / link)))
        if target is None:
            raise ValueError(f"{source.relative_to(ROOT)} links to {link}, which is not in the site")
        target, _, own = target.partition("#")
        anchor = anchor or (f"#{own}" if own else "")
        return f"{opening}{posixpath.relpath(target, posixpath.dirname(page) or '.')}{anchor}{closing}"

    parts = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(replaced, part) for part in parts)


def api_nav() -> list[dict[str, str]]:
    """The reference in the navigation: one entry for each page, named after the package."""
    entries = [{dotted(path).removeprefix("align_jax."): api_page(path)} for path in packages()]
    return [*entries, {"configs": CONFIGS}]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the data sets' pages and the reference to the navigation."""
    assert config.nav is not None
    data_sets = [{Path(page).stem: page} for page in ELSEWHERE if page.startswith("datasets/")]
    licences = [{f"licences of {Path(page).stem}": page} for page in ELSEWHERE if page.startswith("licences/")]
    config.nav += [{"Data sets": [*data_sets, *licences]}, {"API reference": api_nav()}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages themselves."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for name in COPIED:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for path in packages():
        files.append(File.generated(config, api_page(path), content=reference(path)))
    files.append(File.generated(config, CONFIGS, content=configs_reference()))
    files.append(File.generated(config, SETTINGS_PAGE, content=settings_table()))
    files.append(File.generated(config, ENTRIES_PAGE, content=entries_table()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links into the repository links into the site."""
    name = page.file.src_uri
    if name == "index.md":
        page.meta["hide"] = ["navigation"]  # it would only list this page
    if name.startswith("api/") or name in (SETTINGS_PAGE, ENTRIES_PAGE):
        return markdown
    return with_links_of_the_site(markdown, ROOT / ELSEWHERE.get(name, f"docs/{name}"), name)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keeps source code out of the search: docstrings are what one looks for."""
    return html.replace(
        '<details class="mkdocstrings-source">', '<details class="mkdocstrings-source" data-search-exclude>'
    )
