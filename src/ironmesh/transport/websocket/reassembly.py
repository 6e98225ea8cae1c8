"""WebSocket messages from their fragments (RFC 6455, section 5.4)."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

from ironmesh.types import Unit


class Reassembly:
    """Puts fragments together; their total size is limited by the engine that parsed them."""

    def __init__(self) -> None:
        self._parts = bytearray()
        self._is_text = False

    def feed(self, frame: Frame) -> Unit | None:
        """Take a data frame; return the message that it completes.

        Raises:
            UnicodeDecodeError: a text message is not UTF-8.
        """
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                return self._unit(frame.data)
        self._parts += frame.data
        if not frame.fin:
            return None
        whole, self._parts = self._parts, bytearray()
        return self._unit(whole)

    def _unit(self, data: bytes | bytearray | memoryview) -> Unit:
        return str(data, "utf-8") if self._is_text else bytes(data)
