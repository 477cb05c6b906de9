"""Writes `docs/reference/settings.md` from the table: `python -m celeriac.config.reference [FILE]`.

Without a file the page goes to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path

from celeriac.config.celery_only import left_out
from celeriac.config.load import ENVIRONMENT
from celeriac.config.schema import SECTIONS
from celeriac.config.table import SettingInfo, heading_of, rows_of

_INTRO = """\
# Settings

<!-- Generated from the table by `python -m celeriac.config.reference docs/reference/settings.md`; do not edit. -->

Names and meanings are Celery's. Set them on the app, or keep them in a module, an object or a dictionary:

```python
from celeriac import Celeriac

app = Celeriac("proj", task_time_limit=60)
app.conf.worker_concurrency = 4
app.conf.update(result_expires=3600, timezone="Europe/Berlin")
app.config_from_object("proj.celeryconfig")
app.config_from_object("django.conf:settings", namespace="CELERY")
```

Where a setting has several sources, later ones take precedence:

1. the defaults on this page
2. the config source
3. the environment
4. what the program sets itself: arguments of the app, `app.conf`
5. the command line

An unknown name is an error that suggests the nearest one, and so is a value of the wrong type or out of range. In a
module or object, names that are not settings are passed over unless they are nearly a setting's name. With a
namespace, all names that begin with it must be settings.

Durations are numbers of seconds unless another unit is given; a `timedelta` will do as well. Where a number, a yes or
no, a list or a dictionary is expected, text is read as such (`"4"`, `"true"`, `"json,yaml"`, `'{"timeout": 5}'`), so
that values from environment variables can be passed on as they are.

Celery's old upper-case names are accepted, those that Celery itself only documents included. One warning lists what to
rename. Giving one setting by two names with different values is an error.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRO, _environment()]
    parts += [_section(rows_of(section), *heading_of(section)) for section in SECTIONS]
    parts.append(_left_out())
    return "\n".join(parts)


def _environment() -> str:
    lines = ["## Environment variables", "", "| setting | variable, the first that is set |", "| --- | --- |"]
    lines += [
        f"| [`{name}`](#{name}) | {', '.join(f'`{variable}`' for variable in variables)} |"
        for name, variables in ENVIRONMENT.items()
    ]
    return "\n".join(lines) + "\n"


def _section(rows: tuple[SettingInfo, ...], title: str, intro: str) -> str:
    parts = [f"## {title}\n"]
    if intro:
        parts.append(f"{intro}\n")
    return "\n".join([*parts, *map(_entry, rows)])


def _entry(row: SettingInfo) -> str:
    unit = "" if row.unit in {"", "path"} else f" ({row.unit})"
    facts = [f"`{row.type_text}`{unit}", f"default `{row.default!r}`"]
    if row.old:
        facts.append(f"old {'name' if len(row.old) == 1 else 'names'} {', '.join(f'`{old}`' for old in row.old)}")
    if row.own:
        facts.append("not in Celery")
    lines = [f"### {row.name}", "", row.doc, "", "; ".join(facts) + "."]
    if row.availability:
        lines += ["", f"**{row.availability[0].upper()}{row.availability[1:]}.**"]
    return "\n".join(lines) + "\n"


def _left_out() -> str:
    lines = ["## Settings of Celery that are not here", ""]
    lines += [f"- `{name}`: {reason}." for name, reason in left_out().items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page to the file that is named, or to standard output."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
