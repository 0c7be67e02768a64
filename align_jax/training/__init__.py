"""One run: `plan` says what a config asks for, `run` opens its folder, `loop` trains."""

from align_jax.training.loop import train_and_evaluate

__all__ = ["train_and_evaluate"]
