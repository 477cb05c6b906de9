"""How workflows are shown: names of modules are said once.

Owns that.
"""

from __future__ import annotations

import re


def shortened(task: str, text: str) -> str:
    """`text` with the module of `task` only where it first comes.

    Example:
        >>> shortened("tasks.add", "tasks.add(2, 2) | tasks.mul(3)")
        'tasks.add(2, 2) | mul(3)'
    """
    module = task.rpartition(".")[0]
    first = text.find(f"{module}.") if module else -1
    if first < 0:
        return text
    end = first + len(module) + 1
    # Only where a name begins: "app." is no part of "webapp.add".
    return text[:end] + re.sub(rf"(?<![\w.-]){re.escape(module)}\.", "", text[end:])
