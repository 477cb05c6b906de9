"""Tasks with `pydantic=True`: models in the function, their JSON form in messages and results.

Owns the conversion in both directions. pydantic is imported when such a task is first used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter


class ModelArguments:
    """Converts the arguments and the result of one function.

    A parameter takes part if its annotation is a model or contains one (`Model | None`, `list[Model]`).

    Args:
        function: the task's function.
        skip: leading parameters that are not arguments (`self`).
        name: the task's name.
        strict: validate strictly; None leaves it to the models.
        context: context for validators.
        dump_kwargs: options of `model_dump` for the result.

    Raises:
        ImproperlyConfigured: pydantic is not installed, or an annotation can not be resolved.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        skip: int,
        name: str,
        strict: bool | None,
        context: Mapping[str, Any] | None,
        dump_kwargs: Mapping[str, Any] | None,
    ) -> None:
        try:
            from pydantic import BaseModel, TypeAdapter  # noqa: PLC0415 - optional, and slow to import
        except ImportError:
            raise ImproperlyConfigured(
                f"task {name} has pydantic=True, but pydantic is not installed: pip install celeriac[pydantic]"
            ) from None
        self._model_class: type[BaseModel] = BaseModel
        self._name = name
        self._strict = strict
        self._context = dict(context) if context is not None else None
        self._dump_kwargs: dict[str, Any] = {"mode": "json", **(dump_kwargs or {})}
        try:
            signature = inspect.signature(function, eval_str=True)
        except NameError as exc:
            raise ImproperlyConfigured(
                f"task {name} has pydantic=True, but an annotation of it can not be resolved: {exc}"
            ) from exc
        parameters = list(signature.parameters.values())[skip:]
        self._signature = signature.replace(parameters=parameters)
        self._adapters: dict[str, TypeAdapter[Any]] = {
            parameter.name: TypeAdapter(parameter.annotation)
            for parameter in parameters
            if self._contains_model(parameter.annotation)
        }

    def load(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make models of what a message holds.

        Raises:
            pydantic.ValidationError: it does not fit a model.
            TypeError: the function does not take these arguments.
        """
        bound = self._signature.bind(*args, **kwargs)
        for parameter, adapter in self._adapters.items():
            if parameter in bound.arguments:
                bound.arguments[parameter] = self._validated(parameter, adapter, bound.arguments[parameter])
        return bound.args, bound.kwargs

    def _validated(self, parameter: str, adapter: TypeAdapter[Any], value: Any) -> Any:
        try:
            return adapter.validate_python(value, strict=self._strict, context=self._context)
        except ValueError as exc:  # pydantic's own says which field, not which argument
            exc.add_note(f"argument {parameter!r} of task {self._name}")
            raise

    def dump(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Make of models what a message can hold.

        Raises:
            TypeError: a model's JSON form leads to another model than it was made of: something would be lost.
        """
        bound = self._signature.bind(*args, **kwargs)
        for parameter, adapter in self._adapters.items():
            if parameter not in bound.arguments:
                continue
            value = bound.arguments[parameter]
            plain = self._plain(value)
            if plain is value:
                continue
            if adapter.validate_python(plain, context=self._context) != value:
                raise TypeError(
                    f"argument {parameter!r} of task {self._name} does not survive its JSON form (fields that are "
                    "excluded, or a lossy serializer): send what identifies it instead"
                )
            bound.arguments[parameter] = plain
        return bound.args, bound.kwargs

    def dump_result(self, value: Any) -> Any:
        """Make of a returned model what a result can hold."""
        return value.model_dump(**self._dump_kwargs) if isinstance(value, self._model_class) else value

    def _plain(self, value: Any) -> Any:
        """`value` with models as dictionaries; itself when there is none in it."""
        if isinstance(value, self._model_class):
            return value.model_dump(mode="json")
        if isinstance(value, list | tuple):
            items = [self._plain(item) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, dict):
            entries = {key: self._plain(item) for key, item in value.items()}
            return value if all(entries[key] is item for key, item in value.items()) else entries
        return value

    def _contains_model(self, annotation: Any) -> bool:
        if isinstance(annotation, type) and issubclass(annotation, self._model_class):
            return True
        return any(self._contains_model(part) for part in get_args(annotation))
