"""Benchmarks and chaos runs: Celeriac beside its peers, measured from outside. Not part of the package."""
