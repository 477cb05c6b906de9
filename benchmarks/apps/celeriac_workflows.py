"""Celeriac's words for workflows."""

from __future__ import annotations

from benchmarks.apps.celeriac_app import step, total, value
from benchmarks.apps.shapes import Words
from celeriac import chain, chord, group

words = Words(chain, group, chord, step, value, total)
