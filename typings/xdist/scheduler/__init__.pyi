# Who runs which test.

import pytest

class LoadScopeScheduling:
    def __init__(self, config: pytest.Config, log: object = ...) -> None: ...
    def _split_scope(self, nodeid: str) -> str: ...
