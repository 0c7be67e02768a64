"""`launch/prepare.py`: prepares a data set before training, verifies it, and copies it to where training reads it.

    python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR [--copy_to=DIR]
    python launch/prepare.py --dataset=domain_folders --folder=PACS --root=PATH --prepared=DIR [--on_bad_image=skip]

`--root` is the folder of the images, the folder above it, or an archive. For training give the prepared folder or its
copy as `--config.data.prepared=DIR`; the images themselves are not needed then.

`--copy_to` is any folder in which files can be written, read and renamed, such as one in a mounted bucket. `gs://`
itself is refused: see docs/launching.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags

from align_jax.cli.arguments import parse_flags
from align_jax.cli.exit_status import exit_status
from align_jax.configuration import default_config
from align_jax.data.load import DATASETS, find_dataset
from align_jax.data.preparing.copy_prepared import copy_prepared
from align_jax.data.preparing.counts import counts_table
from align_jax.data.preparing.verify import verify
from align_jax.errors import UserError, one_line
from align_jax.runtime.files import real
from align_jax.runtime.paths import refuse_url
from align_jax.runtime.terminal import show

USAGE = (
    "python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR [--folder=PACS] [--on_bad_image=skip] "
    "[--most_skipped=0.01] [--on_duplicate=keep|drop|error] [--group=folder] [--copy_to=DIR]"
)
# Flags for the fields of `config.data` with the same names. A data set may not read all of them.
FIELDS = ("root", "folder", "on_bad_image", "most_skipped", "on_duplicate", "group")
# What a prepared data set's metadata may name.
NAMED = {
    "skipped": "Images that were left out",
    "without_images": "Folders that were left out, with no image of a class",
    "shared": "Files that are in several domains",
    "dropped": "Images that were left out, because another domain has them",
}


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/prepare.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    return exit_status(
        lambda: run(*parse(arguments)),
        on_os_error="can --prepared and --copy_to be written, and is there room?",
        on_interrupt="no unfinished data set is left, and the same command begins again.",
    )


def parse(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path | None]:
    """Reads a command (as `sys.argv`): the `data` of a config, and where to copy the prepared data set.

    Raises:
      UserError: a flag or its value is unknown, or the data set does not read the flag.
    """
    data = default_config().data
    values = flags.FlagValues()
    define: dict[str, Any] = {"help": "", "flag_values": values}
    flags.DEFINE_enum("dataset", None, list(DATASETS), **define)
    flags.DEFINE_string("root", data.root, **define)
    flags.DEFINE_string("prepared", data.prepared, **define)
    flags.DEFINE_string("folder", "", **define)
    flags.DEFINE_enum("group", "", ["", "folder"], **define)
    flags.DEFINE_enum("on_bad_image", "error", ["error", "skip"], **define)
    flags.DEFINE_enum("on_duplicate", "keep", ["keep", "drop", "error"], **define)
    flags.DEFINE_float("most_skipped", data.most_skipped, lower_bound=0, upper_bound=1, **define)
    values, _ = parse_flags(arguments, USAGE, paths=("root", "prepared", "copy_to"), values=values)
    if values.dataset is None:
        raise UserError(f"--dataset is missing; choose one of {', '.join(DATASETS)}.")
    for flag in FIELDS:
        if values[flag].present and flag not in find_dataset(values.dataset).reads:
            raise UserError(f"--{flag} is not read by {values.dataset}; leave it out.")
    refuse_url(values.folder, f"--folder={values.folder}")
    others = (real(Path()), real(Path(values.prepared)))
    if values.copy_to is not None and real(Path(values.copy_to)) in others:
        raise UserError(f"--copy_to is {values.copy_to!r}; give a folder other than this one and --prepared.")
    data.update({"name": values.dataset, **{flag: values[flag].value for flag in ("prepared", *FIELDS)}})
    return data, None if values.copy_to is None else Path(values.copy_to)


def run(data: ml_collections.ConfigDict, copy_to: Path | None) -> None:
    """Prepares and verifies a data set, prints the table of counts, and copies the data set to another folder.

    Raises:
      UserError: the data are missing or broken, or the data set does not have to be prepared.
    """
    prepare = find_dataset(data.name).prepare
    if prepare is None:
        raise UserError(f"{data.name} does not have to be prepared; train with it as it is.")
    builder = prepare(data)
    show(counts_table(verify(builder)))
    folder = Path(builder.data_dir)
    show(f"Prepared and verified: {one_line(str(folder))}")
    metadata = builder.info.metadata or {}
    for field, what in NAMED.items():
        if number := len(metadata.get(field, ())):
            show(f"{what}: {number:,}; {one_line(str(folder / 'metadata.json'))} names them ({field}).")
    if copy_to is not None:
        target = copy_to / builder.info.full_name
        copy_prepared(folder, target)
        show(f"Copied, and compared: {one_line(str(target))}")
