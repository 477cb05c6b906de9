"""Checking a call's arguments against a function before the message is sent.

Owns the check. It looks at names and counts only, never at values or annotations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ArgumentChecker:
    """Says whether a function can be called with given arguments.

    Args:
        function: the function.
        name: for the error's text.
        skip: leading parameters that the caller does not give (`self` of bound tasks).
    """

    def __init__(self, function: Callable[..., Any], name: str, skip: int = 0) -> None:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        skipped = skip
        while skipped and parameters and parameters[0].kind in _POSITIONAL:
            parameters.pop(0)
            skipped -= 1
        self._name = name
        self._signature = signature.replace(parameters=parameters)
        self._fewest, self._most = _positional_range(parameters)

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError` naming the task if the function does not take these."""
        if not kwargs and self._fewest <= len(args) <= self._most:
            return  # the usual call, without the 4 us that `bind` takes
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"task {self._name}{self._signature} can not be called like this: {exc}") from None

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter that is called so."""
        return name in self._signature.parameters

    def positional_left(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
        """How many more positional arguments the function takes when it is given these; infinity for `*args`."""
        left = -len(args)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                return float("inf")
            if parameter.kind not in _POSITIONAL or name in kwargs:
                break  # what comes after one that is given by name can only be given so, too
            left += 1
        return max(left, 0)


def _positional_range(parameters: Sequence[inspect.Parameter]) -> tuple[float, float]:
    """The numbers of arguments, all positional, with which the function can be called; an empty range if none."""
    fewest = most = 0.0
    for parameter in parameters:
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind in _POSITIONAL:
            fewest += required
            most += 1
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and required:
            return 1.0, 0.0
    return fewest, most
