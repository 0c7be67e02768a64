"""`launch/explain.py`: predictions, masks and Grad-CAMs of a user's own images."""

from collections.abc import Sequence
from pathlib import Path

from align_jax.cli.arguments import parse_flags
from align_jax.cli.exit_status import exit_status
from align_jax.cli.named_run import load_named_run
from align_jax.errors import UserError, one_line
from align_jax.runtime.paths import local_path
from align_jax.runtime.terminal import show

USAGE = "python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] IMAGE_OR_FOLDER..."


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/explain.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def run() -> None:
        values, images = parse_flags(arguments, USAGE, paths=("workdir", "out"), integers=("step",), positional=True)
        if not images:
            raise UserError(f"No image is given; write {USAGE}.")
        from align_jax.inference.explain_images import explain_images

        trained = load_named_run(values)
        out = Path(values.out) if values.out is not None else trained.folder / "explanations"
        paths = [local_path(image, "IMAGE_OR_FOLDER") for image in images]
        explanations = explain_images(trained, paths, out, lambda line: show(one_line(line)))
        show(f"{explanations.explained} explained, {len(explanations.skipped)} skipped.")
        show(f"Page: {one_line(str(explanations.page))}")

    return exit_status(
        run,
        on_os_error="can --out be written, and is there room?",
        on_interrupt="what was written is whole; the same command begins again.",
    )
