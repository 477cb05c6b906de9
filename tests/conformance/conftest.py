"""Assertions of the suites are shown with their values."""

import pytest

pytest.register_assert_rewrite("celeriac.testing.conformance")
