"""Signatures: calls as data, and the workflows that they make: chains, groups, chords."""

from celeriac.canvas.batches import chunks, xmap, xstarmap
from celeriac.canvas.chain import chain
from celeriac.canvas.chord import chord
from celeriac.canvas.compose import fold, join
from celeriac.canvas.group import group
from celeriac.canvas.signature import Signature, maybe_signature, signature
from celeriac.canvas.stamping import StampingVisitor

__all__ = [
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "fold",
    "group",
    "join",
    "maybe_signature",
    "signature",
    "xmap",
    "xstarmap",
]
