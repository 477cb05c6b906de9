"""Chaos: kill what runs, again and again, then read from a journal what became of every task."""
