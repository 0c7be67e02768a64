"""Run folders as the trainer leaves them."""

from tests.finished_run import make_run

__all__ = ["make_run"]
