"""The tree of the library: imports go down it, nothing goes round in a circle, and files and functions stay short."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# An import may only go down this list; README.md's layout table has the same order. Packages and modules on one line
# stand beside each other, and imports between them make no circle either.
FLOORS = (
    ("cli",),
    ("sweeping",),
    ("inference",),
    ("reporting",),
    ("training",),
    ("runs",),
    ("configuration",),
    ("evaluation",),
    ("algorithms",),
    ("models", "explanations", "steps", "states", "objectives", "forward", "batch", "guidance", "optimizers",
     "networks", "micro_batches", "losses", "saliency", "mixup", "swaps", "fills", "labels"),
    ("data", "preprocessing"),
    ("tables",),
    ("settings", "moved_settings"),
    ("runtime",),
    ("errors",),
)  # fmt: skip
# Old names of what the README or the tutorials once imported.
ALIASES = ("domain_means",)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

FILES = sorted((ROOT / "align_jax").rglob("*.py"))
CODE = [*FILES, *(path for folder in ("experiments", "benchmarks", "launch", "configs") for path in
                  sorted((ROOT / folder).rglob("*.py")))]  # fmt: skip


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imports(path):
    """The library's modules that a file imports, wherever in the file it does so."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in MODULES} or {node.module}
    return {name for name in found if name in MODULES and name != "align_jax"}


def package(module):
    return module.split(".")[1]


def circle(graph):
    """A circle of a graph as the list of its nodes, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        path.append(node)
        for following in sorted(graph.get(node, ())):
            if found := visit(following):
                return found
        path.pop()
        done.add(node)
        return None

    return next((found for node in sorted(graph) if (found := visit(node))), None)


def test_every_package_has_its_floor():
    names = {package(name) for name in MODULES if name != "align_jax"}
    assert names == set(FLOOR) | set(ALIASES)


def test_imports_go_down():
    up = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if module != "align_jax" and package(module) not in ALIASES
        for imported in imports(path)
        if FLOOR[package(imported)] < FLOOR[package(module)]
    ]
    assert not up


def test_nothing_imports_an_old_name():
    assert not [module for module, path in MODULES.items() for name in imports(path) if package(name) in ALIASES]


def test_no_circle_of_modules_or_packages():
    modules = {module: imports(path) for module, path in MODULES.items()}
    # A package's __init__ gathers its modules, which import one another by their own names.
    inner = {m: {i for i in found if i != m and not m.startswith(f"{i}.")} for m, found in modules.items()}
    assert circle(inner) is None
    packages: dict[str, set[str]] = {}
    for module, found in modules.items():
        if module != "align_jax":
            packages.setdefault(package(module), set()).update(
                package(i) for i in found if package(i) != package(module)
            )
    assert circle(packages) is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def test_the_library_does_not_import_what_stands_beside_it():
    beside = {"experiments", "benchmarks", "configs", "launch", "tests"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name.partition(".")[0] for alias in node.names} & beside
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in beside


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            assert node.end_lineno - first < 60, f"{node.name} has {node.end_lineno - first + 1} lines"
