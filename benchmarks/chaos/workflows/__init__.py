"""Workflows whose workers and server are killed: what they are, how they are run, and the judgement."""
