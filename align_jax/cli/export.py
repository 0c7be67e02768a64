"""`launch/export.py`: writes a trained classifier with torchvision's names."""

from collections.abc import Sequence
from pathlib import Path

from align_jax.cli.arguments import parse_flags
from align_jax.cli.exit_status import exit_status
from align_jax.cli.named_run import load_named_run
from align_jax.errors import UserError, one_line
from align_jax.runtime.terminal import show

USAGE = "python launch/export.py --workdir=DIR [--step=N] --to=FILE.safetensors"


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/export.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def run() -> None:
        values, _ = parse_flags(arguments, USAGE, paths=("workdir", "to"), integers=("step",))
        if values.to is None or not values.to.endswith(".safetensors"):
            raise UserError(f"--to is {values.to!r}; give a file that ends in .safetensors: {USAGE}.")
        from align_jax.models import pretrained

        trained = load_named_run(values)
        classifier, _ = trained.states
        pretrained.save_weights(Path(values.to), classifier.params, classifier.batch_stats)
        show(f"{trained.config.classifier.name} of step {trained.step}: {one_line(values.to)}")

    return exit_status(run, on_os_error="can --to be written?", on_interrupt="nothing was written.")
