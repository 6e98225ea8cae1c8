"""The published name of the CONV envelope: see `ironmesh.dialogue.envelope`."""

from ironmesh.dialogue.envelope import Budget, ConvEnvelope, is_terminal, make_reply

__all__ = ["Budget", "ConvEnvelope", "is_terminal", "make_reply"]
