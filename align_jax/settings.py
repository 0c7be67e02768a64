"""Settings: a setting is its default and the rule for its values."""

import inspect
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

# The name of each type in an error message.
TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "text", tuple: "a tuple", object: ""}

# The upper limit of numbers that have none of their own. Steps are counted in 32 bits, weights are multiplied in
# float32; a run of a billion steps takes weeks at a thousand steps a second.
MOST = 10**9


class Rule(NamedTuple):
    """What is valid for a setting.

    Attributes:
      type: of the value; a `float` may also be a whole number.
      holds: whether a value of that type is valid.
      valid: says what is valid, in words that follow "it must be". A function, because a dict of choices may grow.
    """

    type: type
    holds: Callable[[Any], bool]
    valid: Callable[[], str]

    def broken_by(self, value: Any) -> str | None:
        """What a value must be, in words, if it breaks the rule; None if it is valid."""
        types = (int, float) if self.type is float else self.type
        if not isinstance(value, types) or (isinstance(value, bool) and self.type in (int, float)):
            return TYPES[self.type]
        return None if self.holds(value) else self.valid()


class Setting(NamedTuple):
    """A field of the config.

    Attributes:
      default: its value, unless a config file or the command line gives another one of the same type.
      rule: what is valid.
    """

    default: Any
    rule: Rule


def rule(type: type, holds: Callable[[Any], bool], valid: str) -> Rule:
    """A rule with fixed words."""
    return Rule(type, holds, lambda: valid)


def one_of(choices: Collection[str], remedy: str = "") -> Rule:
    """One of these names. If a dict grows later, its new keys are valid too.

    Args:
      choices: the names.
      remedy: what to do for another name, in words that follow the valid ones.
    """
    # A tuple can be searched for any value; a dict refuses values that cannot be hashed.
    return Rule(object, lambda value: value in tuple(choices), lambda: f"one of {', '.join(choices)}{remedy}")


def names_of(choices: Collection[str]) -> Rule:
    """A tuple of at least one of these names, none of them twice."""

    def holds(values: tuple[Any, ...]) -> bool:
        known = all(value in tuple(choices) for value in values)
        return known and 0 < len(values) == len(set(values))

    return Rule(tuple, holds, lambda: f"one or more of {', '.join(choices)}, separated by commas, each once")


def whole_number(at_least: int, at_most: int = MOST) -> Rule:
    """A whole number within these bounds, both included. Give `at_most` for what takes memory, threads or compiling."""
    return rule(int, lambda value: at_least <= value <= at_most, f"between {at_least} and {at_most}")


def number(at_least: float, at_most: float = float(MOST)) -> Rule:
    """A number within these bounds, both included; neither NaN nor infinity is."""
    return rule(float, lambda value: at_least <= value <= at_most, f"between {at_least:g} and {at_most:g}")


BOOLEAN = rule(bool, lambda value: True, TYPES[bool])
# As long as a path may be. No file's name holds NUL.
LONGEST_TEXT = 4096
TEXT = rule(
    str,
    lambda value: len(value) <= LONGEST_TEXT and "\0" not in value,
    f"at most {LONGEST_TEXT} characters, without NUL",
)
PATH = rule(str, lambda value: value and TEXT.holds(value), "a path; . is the current folder")
TEXTS = rule(
    tuple,
    lambda values: len(values) <= 100 and all(isinstance(value, str) for value in values),
    "a tuple of at most 100 texts",
)
# Below 1e-30 a float32 is soon zero.
POSITIVE = number(1e-30)
ZERO_OR_MORE = number(0.0)
FRACTION = number(0.0, 1.0)
POSITIVE_FRACTION = rule(float, lambda value: 0 < value <= 1, "above 0 and at most 1")
# 16 stages halve an image 16 times; at 1024 channels each has ten million parameters.
WIDTHS = rule(
    tuple,
    lambda widths: 0 < len(widths) <= 16 and all(type(width) is int and 0 < width <= 1024 for width in widths),
    "1 to 16 whole numbers between 1 and 1024, such as (16, 32, 64)",
)


def keyword_settings(function: Callable[..., Any], group: str = "", /, **rules: Rule) -> dict[str, Setting]:
    """A setting for each keyword of a function, with the keyword's default; what is positional only is no setting.

    Args:
      function: the function, such as `algorithms.sgt.classifier_objective`.
      group: what to put before each name, such as "classifier.".
      **rules: by the keywords' names.

    Raises:
      ValueError: a keyword has no rule, or a rule has no keyword.
    """
    every = inspect.signature(function).parameters
    parameters = {name: each for name, each in every.items() if each.kind is not inspect.Parameter.POSITIONAL_ONLY}
    if parameters.keys() != rules.keys():
        raise ValueError(f"The rules are of {', '.join(rules)}; the keywords are {', '.join(parameters)}.")
    return {group + name: Setting(parameters[name].default, rule) for name, rule in rules.items()}
