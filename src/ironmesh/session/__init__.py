"""Handshakes and established sessions as state machines: bytes in, values and bytes out."""
