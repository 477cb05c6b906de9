"""Settings of the scheduler."""

from __future__ import annotations

from typing import Any

from celeriac.config.table import Section, setting


class BeatSettings(Section, title="Scheduler (beat)"):
    """What runs when."""

    beat_schedule: dict[str, dict[str, Any]] = setting(
        {},
        "What runs when: `{name: {task, schedule, args, kwargs, options, relative}}`.",
        old=("CELERYBEAT_SCHEDULE",),
        later="beat",
    )
    beat_scheduler: str | type | None = setting(
        None, "Class of the scheduler; None: ours.", old=("CELERYBEAT_SCHEDULER",), later="beat"
    )
    beat_schedule_filename: str = setting(
        "celerybeat-schedule",
        "File that keeps when entries ran last, for schedulers that have one.",
        unit="path",
        old=("CELERYBEAT_SCHEDULE_FILENAME",),
        later="beat",
    )
    beat_max_loop_interval: float = setting(
        0,
        "Longest pause between two looks at the schedule; 0: the scheduler's own.",
        unit="s",
        old=("CELERYBEAT_MAX_LOOP_INTERVAL",),
        later="beat",
        at_least=0,
    )
    beat_sync_every: int = setting(
        0,
        "Write the schedule file after so many tasks; 0: from time to time.",
        old=("CELERYBEAT_SYNC_EVERY",),
        later="beat",
        at_least=0,
    )
    beat_cron_starting_deadline: float | None = setting(
        None,
        "Do not catch up on runs that were missed by more than this.",
        unit="s",
        old=("CELERYBEAT_CRON_STARTING_DEADLINE",),
        later="beat",
        at_least=0,
    )
    beat_enable_remote_control: bool = setting(
        False,
        "The scheduler answers `inspect ping`.",
        old=("CELERYBEAT_ENABLE_REMOTE_CONTROL",),
        later="beat",
    )
    beat_remote_control_max_tick_age: float | None = setting(
        None,
        "It does not answer when its last look at the schedule is older than this.",
        unit="s",
        old=("CELERYBEAT_REMOTE_CONTROL_MAX_TICK_AGE",),
        later="beat",
        above=0,
    )
    beat_logfile: str | None = setting(None, "File to log to.", unit="path", later="beat")
    beat_pidfile: str | None = setting(None, "File that holds the process id.", unit="path", later="beat")
    beat_uid: str | int | None = setting(None, "User to run as.", later="daemons")
    beat_gid: str | int | None = setting(None, "Group to run as.", later="daemons")
    beat_umask: str | int | None = setting(None, "Mask of the mode of new files, octal as text.", later="daemons")
    beat_executable: str | None = setting(
        None, "Python that runs the scheduler in the background.", unit="path", later="daemons"
    )
