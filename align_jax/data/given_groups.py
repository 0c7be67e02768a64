"""The groups that `config.data.group` gives: folders below the classes', or a CSV file beside the images.

They are read whenever the data set is loaded, and are no part of the prepared records: a changed CSV takes effect at
once. A run that goes on notices it, by the hash in its `data.json`.
"""

import collections
import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align_jax.data.domains import Source, column
from align_jax.data.image_files import read_content
from align_jax.data.whole_files import BadImage
from align_jax.errors import UserError, listed, shown
from align_jax.runtime.terminal import say

FOLDER = "folder"
# The names of the CSV's columns; the second ones are those of Waterbirds' metadata.csv.
PATH_COLUMNS, GROUP_COLUMNS = ("path", "img_filename"), ("group", "place")
# More of them are surely not environments: each has to have images of every class.
MOST_GROUPS = 1000
LONGEST_NAME = 100
SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Grouped:
    """A source whose examples have a `group`, one for each in order."""

    source: Source
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[index] | {"group": self.groups[index]}

    def column(self, field: str) -> list[Any]:
        """One field of every example, as `domains.column`."""
        return list(self.groups) if field == "group" else column(self.source, field)


def with_groups(
    setting: str, sources: Mapping[str, Source], places: Sequence[Path], left_out: Sequence[str] = ()
) -> tuple[dict[str, Source], str]:
    """The domains with the groups that `config.data.group` names, and the hash of which image has which.

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
    groups = _from_folders(every_id) if setting == FOLDER else _from_csv(_found(setting, places), every_id, left_out)
    counts = collections.Counter(groups.values())
    _check_names(setting, counts)
    say(f"Groups: {listed([f'{name} ({count:,})' for name, count in sorted(counts.items())])}.")
    assignment = hashlib.sha256("".join(f"{image}\n{groups[image]}\n" for image in every_id).encode())
    grouped: dict[str, Source] = {
        domain: Grouped(source, tuple(groups[image] for image in ids[domain])) for domain, source in sources.items()
    }
    return grouped, assignment.hexdigest()


def _from_folders(ids: Sequence[str]) -> dict[str, str]:
    parts = {identifier: identifier.split("/") for identifier in ids}
    without = [identifier for identifier, names in parts.items() if len(names) < 4]
    if without:
        raise UserError(
            f"config.data.group is 'folder', but {len(without):,} of {len(ids):,} images are in no folder below their "
            f"class's ({listed(without, SHOWN)}); sort them into DOMAIN/CLASS/GROUP/, or name a CSV file with groups."
        )
    return {identifier: names[2] for identifier, names in parts.items()}


def _found(setting: str, places: Sequence[Path]) -> Path:
    paths = list(dict.fromkeys(place / setting for place in places))  # an absolute path stays as it is
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        f"config.data.group is {shown(setting)}, but there is no such file ({', '.join(map(str, paths))}); give "
        "'folder', or the path of a CSV file (columns: path, group), absolute or in the data set's folder."
    )


def _from_csv(path: Path, ids: Sequence[str], left_out: Sequence[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    conflicting: dict[str, str] = {}
    for image, group in _rows(path):
        if groups.setdefault(image, group) != group:
            conflicting.setdefault(image, f"{image} ({groups[image]}, {group})")
    if conflicting:
        raise UserError(
            f"{path} has two groups for {len(conflicting):,} of the images: {listed(conflicting.values(), SHOWN)}; "
            "keep one row for each."
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


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """The path and the group of each row of a CSV file that may hold anything."""
    try:
        # As ids have them, letters that are not UTF-8 are written as escapes.
        rows = csv.reader(io.StringIO(read_content(path).decode("utf-8-sig", "backslashreplace"), newline=""))
        header = [name.strip() for name in next(rows, [])]
        places = [
            next((header.index(name) for name in names if name in header), None)
            for names in (PATH_COLUMNS, GROUP_COLUMNS)
        ]
        if None in places:
            raise UserError(
                f"{path} has the columns {listed(header) or 'none'}; it must have path and group (or img_filename and "
                "place), divided by commas."
            )
        for row in rows:
            if not row:
                continue
            try:
                image, group = (row[place].strip() for place in places if place is not None)
            except IndexError:
                raise UserError(
                    f"{path}, line {rows.line_num}, has {len(row)} fields, and the header {len(header)}; complete it."
                ) from None
            yield image.removeprefix("./"), group
    except (BadImage, csv.Error) as error:
        raise UserError(
            f"The groups in {path} cannot be read ({error}); make the file anew, with the columns path and group."
        ) from error


def _check_names(setting: str, counts: Mapping[str, int]) -> None:
    for name in counts:
        if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
            raise UserError(
                f"config.data.group is {shown(setting)}, which names a group {shown(name)}; rename it: 1 to "
                f"{LONGEST_NAME} printable letters."
            )
    if len(counts) > MOST_GROUPS:
        raise UserError(
            f"config.data.group is {shown(setting)}, which gives {len(counts):,} groups; it must give at most "
            f"{MOST_GROUPS:,}, each with images of several classes."
        )
