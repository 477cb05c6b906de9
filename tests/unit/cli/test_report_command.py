"""`report`: what is set, without what is secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from celeriac.config import setting_table

Run = Callable[..., Result]


def test_report(run: Run, project: Path) -> None:
    (project / "conf.py").write_text("task_time_limit = 77\nbroker_url = 'sqlite:///shop.sqlite3'\n")
    output = run("-A", "shop", "--config", "conf", "report").output
    for text in ("celeriac:", "py:3.", "system:", "msgspec:", "task_time_limit: 77", f"{project}/shop.sqlite3"):
        assert text in output, text


def test_report_names_settings_without_effect(run: Run, project: Path) -> None:
    assert "without effect" not in run("-A", "shop", "report").output
    (project / "conf.py").write_text("task_send_sent_event = True\nworker_timer = 'a:B'\n")
    lines = run("-A", "shop", "--config", "conf", "report").output.splitlines()
    assert lines[lines.index("set, without effect in this version:") + 1 :] == [
        "task_send_sent_event (takes effect once events are there)",
        "worker_timer (no effect: timers are asyncio's)",
    ]


def test_report_can_list_all_settings(run: Run, project: Path) -> None:
    del project
    lines = run("-A", "shop", "report", "--settings").output.splitlines()
    assert len(lines) == len(setting_table())
    assert "task_acks_late: True" in lines


def test_report_hides_passwords(run: Run, project: Path) -> None:
    (project / "conf.py").write_text("redis_password = 'opensesame'\nsecurity_key_password = 'opensesame'\n")
    output = run("-A", "shop", "--config", "conf", "report").output
    assert "password" in output
    assert "opensesame" not in output


@pytest.mark.parametrize(
    ("broker", "options"),
    [
        ("redis://me:opensesame@db/1", {}),
        ("rediss://:open%40sesame@db?ssl_password=opensesame", {}),
        ("redis+socket://:opensesame@/run/redis.sock?virtual_host=1", {}),
        ("redis+cluster://:opensesame@n1;n2", {}),
        (
            ["sentinel://:opensesame@s1/0", "sentinel://:opensesame@s2/0"],
            {"master_name": "m", "sentinel_kwargs": {"password": "opensesame"}},
        ),
    ],
)
def test_report_hides_passwords_of_redis(
    run: Run, project: Path, broker: str | list[str], options: dict[str, object]
) -> None:
    url = broker if isinstance(broker, str) else ";".join(broker)
    settings = {"broker_transport_options": options, "result_backend_transport_options": options}
    assigned = [
        f"{name} = {value!r}" for name, value in {"result_backend": url, "broker_url": broker, **settings}.items()
    ]
    (project / "conf.py").write_text("\n".join(assigned))
    (project / "shop.py").write_text("from celeriac import Celeriac\napp = Celeriac('shop')\n")
    for words in ([], ["--settings"]):
        result = run("-A", "shop", "--config", "conf", "report", *words)
        assert result.exit_code == 0, result.output
        assert url.partition("://")[0] in result.output
        assert "sesame" not in result.output


@pytest.mark.parametrize(
    "url",
    [
        "redis://:opensesame@db:port",
        "redis://me:open/sesame@db",
        "redis://:opensesame@db/orders",
        "sentinel://:opensesame@s1;sentinel://:opensesame@s2",
        "redis://:opensesame@a;redis://:opensesame@b",
        "redis://:opensesame@db?password_of_mine=opensesame",
        "amqp://me:opensesame@mq:port//",
        "sqlite://me:opensesame@db/x",
        "me:opensesame@db",
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_its_password(run: Run, project: Path, url: str) -> None:
    (project / "shop.py").write_text("from celeriac import Celeriac\napp = Celeriac('shop')\n")
    for words in (["-b", url, "report"], ["--result-backend", url, "report"], ["-b", url, "purge", "-f"]):
        result = run("-A", "shop", *words)
        assert result.exit_code == 2, result.output
        assert "sesame" not in result.output
