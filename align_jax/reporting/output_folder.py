"""Where pages and tables may be written: anywhere but among a run's own files."""

import pathlib

from align_jax.errors import UserError
from align_jax.runtime.files import real


def check_output_folder(out: pathlib.Path, part: str) -> None:
    """Refuses a folder to write to that is a run's, or lies in one anywhere but in its folder `part`.

    Args:
      out: the folder to write to; it need not exist.
      part: the folder within a run that is for what is written, such as `tables`.

    Raises:
      UserError: see above; `RUN/report`, say, holds the run's own page.
    """
    target = real(out)
    for folder in (target, *target.parents):
        if (folder / "config.json").is_file() and not target.is_relative_to(folder / part):
            raise UserError(
                f"--out {out} lies among the own files of the run {folder}; give a folder in {folder / part}, or "
                "elsewhere."
            )
