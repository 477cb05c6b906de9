"""The part of a task that changes the workflow it runs in: put others in its place, add members to its chord.

Owns the rules of when that can be done. What is sent becomes part of the run's outcome, so a run that is lost, retried
or fails has changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.canvas.freezing import derived_id, new_id
from celeriac.canvas.signature import Signature
from celeriac.canvas.steps import kind_of
from celeriac.consequences import added_to_chord, cause_of, is_member
from celeriac.exceptions import EncodeError, ImproperlyConfigured, NotSupported, Replace
from celeriac.result_meta import encode_body

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.request import Request


class WorkflowTask:
    """What `Task` has of workflows."""

    name: str

    if TYPE_CHECKING:  # both are the task's

        @property
        def app(self) -> Celeriac: ...

        @property
        def request(self) -> Request: ...

    def replace(self, sig: Mapping[str, Any]) -> Any:
        """End here, and have another signature take this task's place: under its id, with its links, its chain, chord.

        A group, or a chain that ends in one, comes to the list of its values. It is sent when this run is
        acknowledged, so it is sent once whatever happens to the worker. Write `raise self.replace(sig)` or
        `return self.replace(sig)`.

        Args:
            sig: a task's signature, a chain, a group or a chord.

        Returns:
            Its value, where the task runs in place (`apply`, or called as a function).

        Raises:
            Replace: always in a worker; the attempt ends by it.
            ImproperlyConfigured: the signature is a member of a chord already, or an empty chain.
            TypeError: it is no signature.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def double(x: int) -> int:
            ...     return 2 * x
            >>> @app.task(bind=True)
            ... def delegate(self, x: int) -> int:
            ...     return self.replace(double.s(x))
            >>> delegate.apply((4,)).get()
            8
        """
        kind = kind_of(sig)
        if (sig.get("options") or {}).get("chord"):
            raise ImproperlyConfigured(
                f"task {self.name} can not be replaced by {sig['task']}, which is a member of a chord: give it a "
                "signature of its own, such as task.s(...)"
            )
        if kind == "celery.chain" and not sig["kwargs"].get("tasks"):
            raise ImproperlyConfigured(f"task {self.name} can not be replaced by an empty chain: return the value")
        request = self.request
        if request.is_eager or request.called_directly:
            return Signature.from_dict(sig).apply().get()
        raise Replace(sig)

    def add_to_chord(self, sig: Mapping[str, Any], lazy: bool = False) -> Mapping[str, Any]:
        """Add a member to the chord that this task is a member of itself; its value comes after those of the others.

        It is sent, and counted, when this run is acknowledged.

        Args:
            sig: a task's signature, a chain, a group or a chord.
            lazy: Celery's way to count a member now and send it oneself. Refused: a run that is lost in between would
                leave a chord that waits for ever.

        Returns:
            The signature, with its id.

        Raises:
            ValueError: the task is no member of a chord.
            TypeError: it is no signature.
            NotSupported: `lazy`.
        """
        request = self.request
        if not is_member(request) or request.group is None:
            raise ValueError(f"task {self.name}[{request.id}] is no member of a chord that another could be added to")
        if lazy:
            raise NotSupported(
                f"add_to_chord(lazy=True) of task {self.name}: counted now and sent later, a member could be lost in "
                "between. Leave lazy out: it is counted and sent in one step, when this task ends"
            )
        kind_of(sig)
        options = {**(sig.get("options") or {})}
        if "task_id" not in options:
            options["task_id"] = self._id_of_member(sig)
        member = Signature.from_dict({**sig, "options": options})
        request.caused.append(added_to_chord(self.app, request, member))
        return member

    def _id_of_member(self, sig: Mapping[str, Any]) -> str:
        """The same when this task runs again and adds the same: where messages are sent twice a member counts once."""
        request = self.request
        try:
            said = encode_body(sig, self.app.conf.task_serializer)
        except EncodeError:
            return new_id()  # its message can not be sent either, which tells why
        request.added[said] = request.added.get(said, 0) + 1
        return derived_id(cause_of(request).encode(), said, b"%d" % request.added[said])
