"""Whole workflows on real stores, against a model in plain Python of what they must come to."""
