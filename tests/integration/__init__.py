"""Tests against real processes and real servers."""
