"""Errors that the user can fix: launchers print the sentence and exit, without a traceback."""

from collections.abc import Collection

# How much of a sentence, of a value and of a list is shown. What is wrong may be as long as it likes.
MOST_CHARACTERS = 2000
MOST_OF_A_VALUE = 200
MOST_NAMES = 10


class UserError(ValueError):
    """A wrong value, a missing file or a run that cannot go on: one sentence with the value and the remedy.

    Attributes:
      together: whether every process of the program raises it; one of them says it then.
    """

    together = False

    def __init__(self, sentence: str) -> None:
        """Keeps the sentence to one line of letters that a terminal can show, and to `MOST_CHARACTERS` of them."""
        super().__init__(without_middle(one_line(sentence)))


def one_line(text: str) -> str:
    """One line without control characters, lone surrogates or marks that turn the direction of writing."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)


def shown(value: object) -> str:
    """A value as a sentence shows it, whatever its size."""
    try:
        return without_middle(repr(value), MOST_OF_A_VALUE)
    except ValueError:  # Python prints no whole number of more than 4300 digits
        return "a number of thousands of digits"


def listed(names: Collection[str], most: int = MOST_NAMES) -> str:
    """Names as a sentence lists them: the first ones, and how many there are beside them."""
    first = [without_middle(name, MOST_OF_A_VALUE) for name, _ in zip(names, range(most), strict=False)]
    return ", ".join(first) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def without_middle(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most so many characters: the end of a sentence says what to do, and is kept like its beginning."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"
