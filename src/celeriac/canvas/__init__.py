"""Signatures: calls as data. What chains, groups and chords are made of."""
