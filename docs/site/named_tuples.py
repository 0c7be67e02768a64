"""Shows the fields of a NamedTuple as the parameters that it is made with; griffe does so for dataclasses alone."""

from typing import Any

from griffe import Attribute, Class, Extension, Function, Parameter, ParameterKind, Parameters


class NamedTuples(Extension):
    """Gives each NamedTuple its `__init__`."""

    def on_class(self, *, cls: Class, **arguments: Any) -> None:
        """See above."""
        if not any(str(base).rpartition(".")[2] == "NamedTuple" for base in cls.bases):
            return
        fields = [
            Parameter(member.name, annotation=member.annotation, kind=ParameterKind.positional_or_keyword,
                      default=member.value)
            for member in cls.members.values()
            if isinstance(member, Attribute) and member.annotation is not None
        ]  # fmt: skip
        first = Parameter("self", kind=ParameterKind.positional_or_keyword)
        cls.set_member("__init__", Function("__init__", parameters=Parameters(first, *fields), parent=cls))
