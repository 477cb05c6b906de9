"""Celery's task messages: protocol 2 out, protocols 2 and 1 (and their mixture) in.

Owns what the headers, properties and the body of a message mean. Knows nothing of brokers, and nothing of tasks but
their names.
"""

from __future__ import annotations

from celeriac.protocol.building import MessageTemplate, task_message
from celeriac.protocol.plain import RESERVED_HEADERS, checked_args, checked_kwargs
from celeriac.protocol.reading import Invocation, header_eta, header_expires, read_invocation
from celeriac.protocol.reprs import safe_repr
from celeriac.protocol.retrying import Changes, retry_message
from celeriac.protocol.times import format_iso, parse_iso

__all__ = [
    "RESERVED_HEADERS",
    "Changes",
    "Invocation",
    "MessageTemplate",
    "checked_args",
    "checked_kwargs",
    "format_iso",
    "header_eta",
    "header_expires",
    "parse_iso",
    "read_invocation",
    "retry_message",
    "safe_repr",
    "task_message",
]
