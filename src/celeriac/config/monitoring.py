"""Settings of events and of remote control: what workers tell, and what they are told."""

from __future__ import annotations

from celeriac.config.table import Section, setting


class EventSettings(Section, title="Events"):
    """How events travel to those who watch."""

    event_serializer: str = setting("json", "Serializer of events.", old=("CELERY_EVENT_SERIALIZER",), later="events")
    event_exchange: str = setting("celeryev", "Exchange of events.", old=("CELERY_EVENT_EXCHANGE",), later="events")
    event_queue_prefix: str = setting(
        "celeryev",
        "Prefix of the queues of those who watch.",
        old=("CELERY_EVENT_QUEUE_PREFIX",),
        later="events",
    )
    event_queue_expires: float | None = setting(
        60.0,
        "Such a queue goes when it is not used for this long.",
        unit="s",
        old=("CELERY_EVENT_QUEUE_EXPIRES",),
        later="events",
        above=0,
    )
    event_queue_ttl: float | None = setting(
        5.0,
        "How long an event waits to be read.",
        unit="s",
        old=("CELERY_EVENT_QUEUE_TTL",),
        later="events",
        at_least=0,
    )
    event_queue_exclusive: bool = setting(
        True, "Such a queue belongs to one connection.", old=("CELERY_EVENT_QUEUE_EXCLUSIVE",), later="events"
    )
    event_queue_durable: bool = setting(
        False,
        "Such a queue survives a restart of the broker; not with `event_queue_exclusive`.",
        old=("CELERY_EVENT_QUEUE_DURABLE",),
        later="events",
    )
    events_logfile: str | None = setting(None, "File to log to.", unit="path", later="events")
    events_pidfile: str | None = setting(None, "File that holds the process id.", unit="path", later="events")
    events_uid: str | int | None = setting(None, "User to run as.", later="daemons")
    events_gid: str | int | None = setting(None, "Group to run as.", later="daemons")
    events_umask: str | int | None = setting(None, "Mask of the mode of new files, octal as text.", later="daemons")
    events_executable: str | None = setting(
        None, "Python that runs the camera in the background.", unit="path", later="daemons"
    )


class ControlSettings(Section, title="Remote control"):
    """How commands reach workers."""

    control_exchange: str = setting(
        "celery", "First part of the names of the exchanges.", old=("CONTROL_EXCHANGE",), later="control"
    )
    control_queue_ttl: float | None = setting(
        300.0,
        "How long a command waits for its worker.",
        unit="s",
        old=("CONTROL_QUEUE_TTL",),
        later="control",
        at_least=0,
    )
    control_queue_expires: float | None = setting(
        10.0,
        "A worker's queue of commands goes when it is not used for this long.",
        unit="s",
        old=("CONTROL_QUEUE_EXPIRES",),
        later="control",
        above=0,
    )
    control_queue_exclusive: bool = setting(
        True, "Such a queue belongs to one connection.", old=("CONTROL_QUEUE_EXCLUSIVE",), later="control"
    )
    control_queue_durable: bool = setting(
        False,
        "Such a queue survives a restart of the broker; not with `control_queue_exclusive`.",
        old=("CONTROL_QUEUE_DURABLE",),
        later="control",
    )
