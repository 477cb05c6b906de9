"""Proof against the real Celery: both sides in processes of their own, on one Redis."""
