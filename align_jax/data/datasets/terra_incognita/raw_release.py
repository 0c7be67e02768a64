"""The raw release of the Caltech camera traps: one folder of images, and five annotation files in COCO's style.

The annotation files are not trusted: their structure is checked, and their file names must stay inside the folder.
"""

import collections
import fnmatch
import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from align_jax.data.image_files import entries
from align_jax.data.preparing.archives import is_archive, leads_out
from align_jax.data.preparing.image_folders import DomainImages, LabelledImage
from align_jax.data.preparing.sources import Place, extracted, folders_below
from align_jax.data.preparing.what_is_there import names_in
from align_jax.errors import UserError
from align_jax.runtime.terminal import say

# The patterns of the files' names, in lower case.
PARTS = ("*train*.json", "*cis*val*.json", "*cis*test*.json", "*trans*val*.json", "*trans*test*.json")
# The five of the release have about 30 MB together. JSON takes ten times its size in memory.
LARGEST_FILE = 64 << 20
# Of how many annotated files a folder is searched for, about.
SAMPLE = 100


def find_raw_release(
    place: Place, workspace: Path, domains: Sequence[str], classes: Sequence[str]
) -> DomainImages | None:
    """The images of a place that has the five annotation files, labelled by these; None where it has none of them."""
    # In the place, at most two levels below it, or in an archive in it.
    folders = itertools.chain.from_iterable(_folders(place.folder, "annotation", workspace, depth=2))
    annotations = next(filter(None, map(_annotations_in, folders)), None)
    if annotations is None:
        return None
    labels = read_annotations(annotations, domains, classes)
    folder = find_image_folder(place, sorted(labels), workspace)
    found = []
    for name, (domain, class_name) in labels.items():
        path = os.path.join(folder, name)
        size = os.path.getsize(path) if os.path.isfile(path) else 0  # the builder refuses a missing file
        found.append(LabelledImage(domain, class_name, name, path, None, size))
    found.sort(key=lambda image: (domains.index(image.domain), classes.index(image.class_name), image.file_name))
    return DomainImages(place.source, tuple(domains), tuple(classes), tuple(found), collections.Counter(), ())


def _annotations_in(folder: Path) -> list[Path]:
    """The five annotation files in a folder, or none. A UserError if some are missing, or one is there twice."""
    jsons = sorted(path for path in folder.glob("*.json") if path.is_file())
    found = {part: [path for path in jsons if fnmatch.fnmatchcase(path.name.lower(), part)] for part in PARTS}
    found[PARTS[0]] = [path for path in found[PARTS[0]] if not re.search("cis|trans", path.name.lower())]
    # Any other file may have "train" in its name.
    if not any(found[part] for part in PARTS[1:]):
        return []
    for part, paths in found.items():
        if not paths:
            raise UserError(f"{folder} has no annotation file {part}, only others of the five; complete the copy.")
        if len(paths) > 1:
            shown = ", ".join(path.name for path in paths)
            raise UserError(f"{folder} has several annotation files {part}: {shown}; keep one.")
    return [paths[0] for paths in found.values()]


def find_image_folder(place: Place, files: Sequence[str], workspace: Path) -> Path:
    """The folder below `place`, or in an archive there, that has the most of a sample of the annotated files."""
    sample = files[:: max(1, len(files) // SAMPLE)]

    def matches(folder: Path) -> int:
        return sum(os.path.lexists(folder / name) for name in sample)  # the builder refuses a link to nothing

    for folders in _folders(place.folder, "image", workspace):
        best = max(folders, key=matches)
        if matches(best):
            return best
    raise UserError(
        f"{place.source} has the annotations of Terra Incognita, but none of the images that they name, such as "
        f"{sample[0]}, in a folder or an archive *images* ({names_in(place.folder, place.source)}); put "
        "eccv_18_all_images_sm (or its .tar.gz) there."
    )


def _folders(place: Path, word: str, workspace: Path, depth: int = 3) -> Iterator[Iterator[Path]]:
    """The folders below `place`, then those of each archive in it with `word` in its name, extracted when needed."""
    yield folders_below(place, depth)
    for path in (Path(entry.path) for entry in entries(place)):
        if is_archive(path) and path.is_file() and word in path.name.lower():
            yield folders_below(extracted(path, workspace))


def read_annotations(
    annotations: Sequence[Path], domains: Sequence[str], classes: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """The domain and the class of each file name, for images at these locations that show exactly one of the classes.

    How many other images of these locations are left out is printed. `annotations` are files in COCO's style, with
    images (id, file_name, location), annotations (image_id, category_id) and categories (id, name).
    """
    domain_of: dict[str, str] = {}
    classes_of: dict[str, set[str]] = collections.defaultdict(set)
    for path in annotations:
        try:
            if (size := path.stat().st_size) > LARGEST_FILE:
                raise ValueError(f"it has {size:,} bytes, more than {LARGEST_FILE:,}")
            _join(json.loads(path.read_bytes()), set(domains), set(classes), domain_of, classes_of)
        # RecursionError comes from very many nested brackets; UnicodeDecodeError is a ValueError.
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise UserError(f"{path} is not an annotation file in COCO's style ({reason}); get it again.") from error
    labels = {name: (domain_of[name], next(iter(shown))) for name, shown in classes_of.items() if len(shown) == 1}
    if not labels:
        raise UserError(f"{annotations[0].parent} annotates no image of {', '.join(domains)}; get the files again.")
    say(
        f"Of {len(domain_of):,} annotated images at {', '.join(domains)}, left out: {len(classes_of) - len(labels):,} "
        f"that show several of the classes, {len(domain_of) - len(classes_of):,} that show none."
    )
    return labels


def _join(
    content: Any, domains: set[str], classes: set[str], domain_of: dict[str, str], classes_of: dict[str, set[str]]
) -> None:
    """Adds one file's images of `domains` to `domain_of`, and the `classes` that they show to `classes_of`."""
    categories = {category["id"]: category["name"] for category in content["categories"]}
    names = {}
    for image in content["images"]:
        domain = f"location_{image['location']}"
        if domain not in domains:
            continue
        name = _checked(image["file_name"])
        if domain_of.setdefault(name, domain) != domain:
            raise ValueError(f"{name} is at two locations")
        names[image["id"]] = name
    for annotation in content["annotations"]:
        category = categories[annotation["category_id"]]
        if category in classes and annotation["image_id"] in names:
            classes_of[names[annotation["image_id"]]].add(category)


def _checked(name: Any) -> str:
    """The name, if it is a file name that stays inside any folder on any system; otherwise a ValueError."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"the file name {name!r}")
    if leads_out(name) or str(PurePosixPath(name)) != name:
        raise ValueError(f"the file name {name!r}, which could leave the folder of images")
    return name
