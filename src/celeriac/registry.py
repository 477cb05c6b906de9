"""The registry: which tasks an app knows, by name.

Owns the names and what is said about a name that is not there. Knows nothing of what tasks do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import AlreadyRegistered, DuplicateTaskNameWarning, NotRegistered
from celeriac.spelling import near_names

if TYPE_CHECKING:
    from celeriac.task import Task


class Registry(Mapping[str, "Task[Any, Any]"]):
    """All tasks of an app: `app.tasks`.

    Raises:
        NotRegistered: on reading a name that is not there. It names the nearest ones and what to do.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task[Any, Any]] = {}

    def __getitem__(self, name: str) -> Task[Any, Any]:
        try:
            return self._tasks[name]
        except KeyError:
            raise NotRegistered(self.describe_missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __repr__(self) -> str:
        return f"<Registry: {', '.join(sorted(self._tasks))}>"

    def find(self, name: str) -> Task[Any, Any] | None:
        """The task of that name, or None. What hot paths use."""
        return self._tasks.get(name)

    def register(self, task: Task[Any, Any]) -> None:
        """Add `task` under its name.

        Another function that has the name already is replaced, with a `DuplicateTaskNameWarning`. The same function
        once more (a module that was reloaded, or runs as `__main__` and is imported again) replaces it quietly.

        Raises:
            AlreadyRegistered: `task` has no name.
        """
        if not task.name:
            raise AlreadyRegistered(f"{task!r} has no name: give it one with name=")
        known = self._tasks.get(task.name)
        if known is not None and known is not task and known.origin != task.origin:
            warnings.warn(
                f"the task name {task.name!r} is taken by {known.origin}; {task.origin} replaces it. "
                "Give one of them another name with name=",
                DuplicateTaskNameWarning,
                stacklevel=4,
            )
        self._tasks[task.name] = task

    def unregister(self, task: Task[Any, Any] | str) -> None:
        """Remove a task.

        Raises:
            NotRegistered: it is not there.
        """
        name = task if isinstance(task, str) else task.name
        if name not in self._tasks:
            raise NotRegistered(self.describe_missing(name))
        del self._tasks[name]

    def describe_missing(self, name: str) -> str:
        """What to tell somebody who asks for `name`, which is not registered."""
        near = near_names(name, self._tasks, count=3, cutoff=0.6)
        stem = name.rpartition(".")[2]
        near += [known for known in sorted(self._tasks) if known.rpartition(".")[2] == stem and known not in near]
        hint = f" Did you mean {' or '.join(near[:3])}?" if near else ""
        return (
            f"no task named {name!r} is registered.{hint} Import its module in this process: name it in "
            "`include=` or `imports`, or use `autodiscover_tasks`"
        )
