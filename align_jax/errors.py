"""What is the user's to mend: launchers print the sentence and end, without a traceback."""


class UserError(ValueError):
    """A wrong value, a missing file, a run that cannot go on: one sentence with the value and the remedy."""
