"""The groups that `config.data.group` gives: folders below the classes', or a CSV file beside the images.

The CSV may also have a column `object`, the same for all images of one object; see `background_tests`.

They are read whenever the data set is loaded, and are no part of the prepared records: a changed CSV takes effect at
once. A run that goes on notices it, by the hash in its `data.json`.
"""

import collections
import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from align_jax.data.domains import Source, WithTexts, column
from align_jax.data.image_files import read_content
from align_jax.data.whole_files import BadImage
from align_jax.errors import UserError, listed, shown
from align_jax.runtime.terminal import say

FOLDER = "folder"
# The names of the CSV's columns; the second ones are those of Waterbirds' metadata.csv.
PATH_COLUMNS, GROUP_COLUMNS, OBJECT_COLUMNS = ("path", "img_filename"), ("group", "place"), ("object",)
# More of them are surely not environments: each has to have images of every class.
MOST_GROUPS = 1000
LONGEST_NAME = 100
SHOWN = 3


class Given(NamedTuple):
    """What is said of an image; `object` is "" if nothing is."""

    group: str
    object: str = ""


def with_groups(
    setting: str, sources: Mapping[str, Source], places: Sequence[Path], left_out: Sequence[str] = ()
) -> tuple[dict[str, Source], str]:
    """The domains with the groups that `config.data.group` names, and the hash of which image has which.

    Where objects are named, examples also have an `object`, and as `concept` the object, or the image if it is of none.

    Args:
      setting: "" for no groups, "folder" for the folders below the classes', or the path of a CSV file.
      sources: the domains; ids are DOMAIN/CLASS/FILE.
      places: the folders in which a relative path is looked for.
      left_out: the ids of images that were not prepared; the CSV may name them.

    Raises:
      UserError: the file cannot be read, an image has no group, a row has no image, or a group's name is not one.
    """
    if not setting:
        return dict(sources), ""
    ids = {domain: column(source, "id") for domain, source in sources.items()}
    every_id = [identifier for of_domain in ids.values() for identifier in of_domain]
    given = _from_folders(every_id) if setting == FOLDER else _from_csv(_found(setting, places), every_id, left_out)
    counts = collections.Counter(said.group for said in given.values())
    _check_names(setting, "a group", counts)
    _check_names(setting, "an object", {said.object for said in given.values() if said.object})
    if len(counts) > MOST_GROUPS:
        raise UserError(
            f"config.data.group is {shown(setting)}, which gives {len(counts):,} groups; it must give at most "
            f"{MOST_GROUPS:,}, each with images of several classes."
        )
    say(f"Groups: {listed([f'{name} ({count:,})' for name, count in sorted(counts.items())])}.")
    assignment = hashlib.sha256()
    for image in every_id:
        assignment.update("".join(f"{text}\n" for text in (image, *given[image]) if text).encode())
    named = any(said.object for said in given.values())

    def texts(images: Sequence[str]) -> dict[str, tuple[str, ...]]:
        group = {"group": tuple(given[image].group for image in images)}
        if not named:
            return group
        objects = tuple(given[image].object for image in images)
        concepts = tuple(name or image for name, image in zip(objects, images, strict=True))
        return group | {"object": objects, "concept": concepts}

    grouped: dict[str, Source] = {domain: WithTexts(source, texts(ids[domain])) for domain, source in sources.items()}
    return grouped, assignment.hexdigest()


def _from_folders(ids: Sequence[str]) -> dict[str, Given]:
    parts = {identifier: identifier.split("/") for identifier in ids}
    without = [identifier for identifier, names in parts.items() if len(names) < 4]
    if without:
        raise UserError(
            f"config.data.group is 'folder', but {len(without):,} of {len(ids):,} images are in no folder below their "
            f"class's ({listed(without, SHOWN)}); sort them into DOMAIN/CLASS/GROUP/, or name a CSV file with groups."
        )
    return {identifier: Given(names[2]) for identifier, names in parts.items()}


def _found(setting: str, places: Sequence[Path]) -> Path:
    paths = list(dict.fromkeys(place / setting for place in places))  # an absolute path stays as it is
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        f"config.data.group is {shown(setting)}, but there is no such file ({', '.join(map(str, paths))}); give "
        "'folder', or the path of a CSV file (columns: path, group), absolute or in the data set's folder."
    )


def _from_csv(path: Path, ids: Sequence[str], left_out: Sequence[str]) -> dict[str, Given]:
    groups: dict[str, Given] = {}
    conflicting: dict[str, str] = {}
    for image, said in _rows(path):
        if (first := groups.setdefault(image, said)) != said:
            different = [pair for pair in zip(first, said, strict=True) if pair[0] != pair[1]]
            conflicting.setdefault(image, f"{image} ({', '.join(different[0])})")
    if conflicting:
        raise UserError(
            f"{path} has two groups or objects for {len(conflicting):,} of the images: "
            f"{listed(conflicting.values(), SHOWN)}; keep one row for each."
        )
    known = set(ids)
    missing = [identifier for identifier in ids if identifier not in groups]
    if missing:
        instead = f" (its first path is {shown(next(iter(groups)))})" if groups else " (it has no rows)"
        raise UserError(
            f"{path} has no row for {len(missing):,} of {len(ids):,} images, such as {listed(missing[:1])}{instead}; "
            "add them, with paths as DOMAIN/CLASS/IMAGE."
        )
    unknown = groups.keys() - known - set(left_out)
    if unknown:
        raise UserError(
            f"{path} has {len(unknown):,} rows for which there is no image, such as {listed([min(unknown)])}; remove "
            "them, or put the images there and prepare the data set anew."
        )
    return {identifier: groups[identifier] for identifier in ids}


def _rows(path: Path) -> Iterator[tuple[str, Given]]:
    """The path of each row of a CSV file that may hold anything, and what the row says."""
    try:
        # As ids have them, letters that are not UTF-8 are written as escapes.
        rows = csv.reader(io.StringIO(read_content(path).decode("utf-8-sig", "backslashreplace"), newline=""))
        header = [name.strip() for name in next(rows, [])]
        places = [
            next((header.index(name) for name in names if name in header), None)
            for names in (PATH_COLUMNS, GROUP_COLUMNS, OBJECT_COLUMNS)
        ]
        if None in places[:2]:
            raise UserError(
                f"{path} has the columns {listed(header) or 'none'}; it must have path and group (or img_filename and "
                "place), divided by commas."
            )
        for row in rows:
            if not row:
                continue
            try:
                image, *said = (row[place].strip() for place in places if place is not None)
            except IndexError:
                raise UserError(
                    f"{path}, line {rows.line_num}, has {len(row)} fields, and the header {len(header)}; complete it."
                ) from None
            yield image.removeprefix("./"), Given(*said)
    except (BadImage, csv.Error) as error:
        raise UserError(
            f"The groups in {path} cannot be read ({error}); make the file anew, with the columns path and group."
        ) from error


def _check_names(setting: str, kind: str, names: Iterable[str]) -> None:
    for name in names:
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise UserError(
                f"config.data.group is {shown(setting)}, which names {kind} {shown(name)}; rename it: 1 to "
                f"{LONGEST_NAME} printable letters."
            )
