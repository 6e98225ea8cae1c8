"""The bytes of our own wire, version 5 (docs/protocol.md)."""
