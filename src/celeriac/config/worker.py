"""Settings of workers: pool, executors, leases, shutdown and logging."""

from __future__ import annotations

from typing import Literal

from celeriac.config.checks import log_level
from celeriac.config.table import Section, setting

_NO_BOOTSTEPS = "a Celeriac worker is not put together from exchangeable classes"


class WorkerSettings(Section, title="Worker", intro="Options of `celeriac worker` take precedence."):
    """How a worker runs tasks."""

    worker_pool: Literal["prefork", "threads", "asyncio", "solo"] = setting(
        "prefork",
        "Where tasks run that name no executor: 'prefork' (processes), 'threads', 'asyncio', or 'solo' (in "
        "the worker's own process, for debugging).",
        old=("CELERYD_POOL",),
        aliases={"processes": "prefork"},
        refused={
            "gevent": "there are no greenlets here; use 'asyncio' (for coroutines) or 'threads'",
            "eventlet": "there are no greenlets here; use 'asyncio' (for coroutines) or 'threads'",
        },
    )
    worker_concurrency: int | None = setting(
        None,
        "How many tasks run at a time; None or 'auto': as many as the worker may use CPUs.",
        old=("CELERYD_CONCURRENCY",),
        at_least=1,
        aliases={"auto": None},
    )
    worker_asyncio_concurrency: int = setting(
        100, "Coroutines at a time in a worker whose pool is not asyncio.", own=True, at_least=1
    )
    worker_thread_concurrency: int = setting(
        8,
        "Threads for tasks with the thread executor in a worker whose pool is not threads.",
        own=True,
        at_least=1,
    )
    worker_lease_seconds: float = setting(
        10.0,
        "How long a worker that shows no sign of life keeps its tasks; then others take them over.",
        unit="s",
        own=True,
        at_least=0.5,
    )
    worker_hard_limit_grace: float = setting(
        1.0,
        "After a hard time limit, how long a thread or coroutine may take to end before its executor is replaced.",
        unit="s",
        own=True,
        at_least=0,
    )
    worker_max_tasks_per_child: int | None = setting(
        None,
        "Replace an executor process after it has run this many tasks.",
        old=("CELERYD_MAX_TASKS_PER_CHILD",),
        at_least=1,
    )
    worker_max_memory_per_child: int | None = setting(
        None,
        "Replace an executor process, after its current task, when its resident memory is above this.",
        unit="KiB",
        old=("CELERYD_MAX_MEMORY_PER_CHILD",),
        at_least=1,
    )
    worker_soft_shutdown_timeout: float = setting(
        0.0,
        "On a cold shutdown, how long running tasks may still take before they are handed back.",
        unit="s",
        old=("CELERYD_SOFT_SHUTDOWN_TIMEOUT",),
        at_least=0,
    )
    worker_proc_alive_timeout: float = setting(
        4.0,
        "How long a new executor process may take to report that it is ready.",
        unit="s",
        old=("CELERYD_PROC_ALIVE_TIMEOUT",),
        above=0,
    )
    worker_prefetch_multiplier: int = setting(
        4,
        "Messages held for each slot of the pool; 0: no limit.",
        old=("CELERYD_PREFETCH_MULTIPLIER",),
        later="prefetch",
        at_least=0,
    )
    worker_disable_prefetch: bool = setting(
        False,
        "Take a message only when a slot is free.",
        old=("CELERYD_DISABLE_PREFETCH",),
        later="prefetch",
    )
    worker_disable_rate_limits: bool = setting(
        False, "Ignore all rate limits.", old=("CELERY_DISABLE_RATE_LIMITS",), later="rate limits"
    )
    worker_deduplicate_successful_tasks: bool = setting(
        False,
        "Skip a message that was delivered before and whose result is SUCCESS.",
        old=("CELERYD_DEDUPLICATE_SUCCESSFUL_TASKS",),
        later="deduplication",
    )
    worker_direct: bool = setting(
        False,
        "A worker also takes from a queue of its own, named after it: `w1@example.com.dq2`.",
        old=("CELERY_WORKER_DIRECT",),
    )
    worker_enable_remote_control: bool = setting(
        True, "Listen to remote control.", old=("CELERY_ENABLE_REMOTE_CONTROL",), later="control"
    )
    worker_pool_restarts: bool = setting(
        False,
        "Allow remote control to restart the executors.",
        old=("CELERYD_POOL_RESTARTS",),
        later="control",
    )
    worker_state_db: str | None = setting(
        None, "File that keeps revoked task ids.", unit="path", old=("CELERYD_STATE_DB",), later="control"
    )
    worker_send_task_events: bool = setting(
        False, "Send events about tasks (`-E`).", old=("CELERY_SEND_EVENTS",), later="events"
    )
    worker_cancel_long_running_tasks_on_connection_loss: bool = setting(
        False,
        "Stop tasks with late acknowledgement when the connection to the broker is lost.",
        old=("CELERYD_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS",),
        later="network",
    )
    worker_detect_quorum_queues: bool = setting(
        True,
        "Use the prefetch limit that quorum queues need when there is one.",
        old=("CELERYD_DETECT_QUORUM_QUEUES",),
        moot="the one that is used fits all types of queues",
    )
    worker_autoscaler: str | type | None = setting(
        None,
        "Class that grows and shrinks the pool; None: ours.",
        old=("CELERYD_AUTOSCALER",),
        later="autoscaling",
    )
    worker_pidfile: str | None = setting(None, "File that holds the worker's process id.", unit="path")
    worker_uid: str | int | None = setting(None, "User to run as.", later="daemons")
    worker_gid: str | int | None = setting(None, "Group to run as.", later="daemons")
    worker_umask: str | int | None = setting(None, "Mask of the mode of new files, octal as text.", later="daemons")
    worker_executable: str | None = setting(
        None, "Python that runs the worker in the background.", unit="path", later="daemons"
    )


class WorkerLogSettings(Section, title="Worker: logging"):
    """What a worker writes, where and how."""

    worker_logfile: str | None = setting(None, "File to log to; None: standard error.", unit="path")
    worker_log_format: str = setting(
        "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s",
        "Format of log lines.",
        old=("CELERYD_LOG_FORMAT", "CELERY_WORKER_LOG_FORMAT"),
    )
    worker_log_datefmt: str | None = setting(
        None, "Format of the time in log lines, as for `time.strftime`.", old=("CELERYD_LOG_DATEFMT",)
    )
    worker_log_color: bool | None = setting(
        None, "Coloured log lines; None: on a terminal.", old=("CELERYD_LOG_COLOR",)
    )
    worker_task_log_format: str = setting(
        "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s",
        "Format of log lines that tasks write.",
        old=("CELERYD_TASK_LOG_FORMAT", "CELERY_WORKER_TASK_LOG_FORMAT"),
    )
    worker_task_log_datefmt: str | None = setting(
        None, "Format of the time in log lines that tasks write.", old=("CELERYD_TASK_LOG_DATEFMT",)
    )
    worker_hijack_root_logger: bool = setting(
        False,
        "Remove handlers that the root logger has already. Celery's default is True.",
        old=("CELERYD_HIJACK_ROOT_LOGGER",),
    )
    worker_redirect_stdouts: bool = setting(
        False,
        "Log what tasks print. Celery's default is True.",
        old=("CELERY_REDIRECT_STDOUTS", "CELERYD_REDIRECT_STDOUTS"),
    )
    worker_redirect_stdouts_level: int | str = setting(
        "WARNING",
        "Level of what tasks print, by name or number.",
        old=("CELERY_REDIRECT_STDOUTS_LEVEL", "CELERYD_REDIRECT_STDOUTS_LEVEL"),
        check=log_level,
    )


class WorkerMootSettings(Section, title="Worker: accepted, without effect"):
    """What Celery's worker needs and this one does not; accepted so that its configurations load."""

    worker_agent: str | type | None = setting(
        None, "Class of one more part of the worker.", old=("CELERYD_AGENT",), moot=_NO_BOOTSTEPS
    )
    worker_consumer: str | type | None = setting(
        None, "Class of the consumer.", old=("CELERYD_CONSUMER",), moot=_NO_BOOTSTEPS
    )
    worker_timer: str | type | None = setting(
        None, "Class of the timer.", old=("CELERYD_TIMER",), moot="timers are asyncio's"
    )
    worker_timer_precision: float = setting(
        1.0,
        "How often the timer looks.",
        unit="s",
        old=("CELERYD_TIMER_PRECISION",),
        moot="timers are asyncio's",
    )
    worker_pool_putlocks: bool = setting(
        True,
        "Count the slots of the pool with a semaphore.",
        old=("CELERYD_POOL_PUTLOCKS",),
        moot="messages are taken from the broker by the number of free slots",
    )
    worker_pool_start_method: Literal["fork", "spawn"] = setting(
        "fork",
        "How executor processes start: forked from a clean process that has imported the app, or each one anew, "
        "importing the app itself (always so where there is no fork).",
        old=("CELERYD_POOL_START_METHOD",),
    )
    worker_lost_wait: float = setting(
        10.0,
        "How long to wait for the result of an executor that has died.",
        unit="s",
        old=("CELERYD_WORKER_LOST_WAIT",),
        moot="what a dead executor had sent is read before its loss is settled",
        at_least=0,
    )
    worker_enable_soft_shutdown_on_idle: bool = setting(
        False,
        "Keep to the soft shutdown time without running tasks.",
        old=("CELERYD_ENABLE_SOFT_SHUTDOWN_ON_IDLE",),
        moot="future tasks live in the broker, so an idle worker has nothing to hand back",
    )
    worker_eta_task_limit: int | None = setting(
        None,
        "How many future tasks a worker holds in memory.",
        old=("CELERYD_ETA_TASK_LIMIT",),
        moot="future tasks live in the broker",
        at_least=1,
    )
    worker_enable_prefetch_count_reduction: bool = setting(
        True,
        "After a lost connection, fetch less while tasks of before are running.",
        old=("CELERYD_ENABLE_PREFETCH_COUNT_REDUCTION",),
        moot="messages are taken from the broker by the number of free slots",
    )
