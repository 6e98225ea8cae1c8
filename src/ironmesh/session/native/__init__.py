"""Sessions on our own wire, version 5 (docs/protocol.md)."""
