"""Celeriac on real Redis servers: faults, security, high availability."""
