"""`launch/pretrain_emoji.py`: makes the backbone that `config.classifier.pretrained = "emoji"` names.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    python launch/pretrain_emoji.py --to=FILE.safetensors \
        --archives=emoji-datasource-google-16.0.0.tgz,emoji-datasource-twitter-16.0.0.tgz [--steps=N] [--seed=N]

`npm pack` fetches the two packages, 136 MB, and installs nothing. `models/emoji_backbone/ATTRIBUTION.md` says which
emoji are learnt from, which are left out, and their licences.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from align_jax.cli.arguments import parse_flags
from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError, one_line
from align_jax.runtime.paths import local_path

USAGE = "python launch/pretrain_emoji.py --archives=GOOGLE.tgz,TWITTER.tgz --to=FILE.safetensors [--steps=N] [--seed=N]"
STEPS = 3000


class Request(NamedTuple):
    """The values of the flags."""

    archives: tuple[Path, ...]
    to: Path
    steps: int
    seed: int


def parse(arguments: Sequence[str]) -> Request:
    """The flags of `launch/pretrain_emoji.py`.

    Args:
      arguments: as `sys.argv`, with the program's name first.

    Raises:
      UserError: an unknown or missing flag, or an invalid value.
    """
    values, _ = parse_flags(arguments, USAGE, strings=("archives",), paths=("to",), integers=("steps", "seed"))
    archives = tuple(local_path(name, "--archives") for name in (values.archives or "").split(",") if name)
    if not archives:
        raise UserError(f"--archives is missing; give npm's tarballs of the two packages: {USAGE}.")
    if values.to is None or not values.to.endswith(".safetensors"):
        raise UserError(f"--to is {values.to!r}; give a file that ends in .safetensors: {USAGE}.")
    steps = STEPS if values.steps is None else values.steps
    seed = values.seed or 0
    if steps < 1:
        raise UserError(f"--steps is {steps}; it must be at least 1.")
    if seed >= 2**32:  # jax.random.key takes 32 bits
        raise UserError(f"--seed is {seed}; it must be below 2**32.")
    return Request(archives, Path(values.to), steps, seed)


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/pretrain_emoji.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def run() -> None:
        request = parse(arguments)
        # Imported late: JAX takes seconds to start, and a mistyped flag should be refused at once.
        from align_jax.models import pretrained
        from experiments.pretrain_emoji.emoji import load_emoji
        from experiments.pretrain_emoji.pretraining import pretrain

        began = time.perf_counter()
        request.to.parent.mkdir(parents=True, exist_ok=True)  # fails now, not after the training
        result = pretrain(load_emoji(request.archives), steps=request.steps, seed=request.seed)
        path = pretrained.save_weights(request.to, result.params, result.batch_stats)
        print(
            f"{result.concepts} emoji of {result.subgroups} subgroups, {request.steps} steps, seed {request.seed}, "
            f"{(time.perf_counter() - began) / 60:.1f} minutes, accuracy on held-out emoji {result.accuracy:.3f}\n"
            f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}\nWeights: {one_line(str(path))}"
        )

    return exit_status(
        run,
        on_os_error="can the archives be read and --to be written, and is there room?",
        on_interrupt="nothing was written.",
    )
