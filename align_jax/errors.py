"""Errors that the user can fix: launchers print the sentence and exit, without a traceback."""


class UserError(ValueError):
    """A wrong value, a missing file or a run that cannot go on: one sentence with the value and the remedy."""
