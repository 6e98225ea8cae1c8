"""One connection to the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from ironmesh.control import protocol
from ironmesh.control.api import Operator
from ironmesh.errors import ControlError, IronMeshError

MAX_SUBSCRIPTIONS: Final = 4
"""Of one client."""


async def serve(operator: Operator, end: socket.socket) -> None:
    """Answer the calls of a client until it leaves.

    Args:
        operator: what is called.
        end: our end of the connection, which does not block.
    """
    reader, writer = await asyncio.open_unix_connection(sock=end, limit=protocol.MAX_LINE_BYTES)
    try:
        await _Client(operator, reader, writer).serve()
    finally:
        # What a client has not read by now it never gets: closing must not wait for it.
        writer.transport.abort()


def busy() -> bytes:
    """Return what a client reads for whom there is no place."""
    error = ControlError("too many control clients", "close one", remote_code="busy")
    return protocol.encode_error(0, error)


class _Client:
    """One connection: answers its calls in order, and writes the events that it subscribed to."""

    def __init__(
        self, operator: Operator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._operator = operator
        self._reader = reader
        self._writer = writer
        self._subscriptions: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        try:
            while line := await self._read_line():
                await self._answer(line)
        except ConnectionError:
            return
        finally:
            for task in self._subscriptions:
                task.cancel()
            await asyncio.gather(*self._subscriptions, return_exceptions=True)
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def _read_line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            await self._write(protocol.encode_error(0, protocol.too_long()))
            return b""

    async def _answer(self, line: bytes) -> None:
        request_id = 0
        try:
            request_id, params = protocol.decode_request(line)
            if isinstance(params, protocol.SubscribeParams):
                self._subscribe(request_id)
                return
            answer = protocol.encode_result(request_id, await self._call(params))
        except protocol.RequestError as error:
            answer = protocol.encode_error(error.request_id, error)
        except IronMeshError as error:
            answer = protocol.encode_error(request_id, error)
        await self._write(answer)

    async def _call(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.SendParams():
                return await operator.send(
                    params.target,
                    params.payload,
                    params.msg_type,
                    params.priority,
                    ttl_s=params.ttl_s,
                    is_durable=params.is_durable,
                    wait_s=params.wait_s,
                )
            case protocol.PingParams(target, timeout_s):
                return await operator.ping(target, timeout_s)
            case protocol.ConnectParams(host, port):
                return await operator.connect(host, port)
            case _:
                return await self._call_about_trust(params)

    async def _call_about_trust(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.TrustShowParams(who):
                return operator.trust_show(who)
            case protocol.TrustPinParams(public_key_b64, name, is_verified):
                return await operator.trust_pin(public_key_b64, name, is_verified=is_verified)
            case protocol.TrustRevokeParams(who, reason):
                return await operator.trust_revoke(who, reason)
            case protocol.TrustForgetParams(who):
                return await operator.trust_forget(who)
            case protocol.TrustVerifyParams(who, fingerprint):
                return await operator.trust_verify(who, fingerprint)
            case _:
                return await self._call_about_messages(params)

    async def _call_about_messages(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.OutboxListParams(peer, limit):
                return await operator.outbox_list(peer, limit)
            case protocol.OutboxShowParams(message):
                return await operator.outbox_show(message)
            case protocol.OutboxRetryParams(message):
                return await operator.outbox_retry(message)
            case protocol.OutboxCancelParams(message):
                return await operator.outbox_cancel(message)
            case protocol.HistoryParams(peer, direction, since, limit):
                return await operator.history(peer, direction, since, limit)
            case _:
                return await self._call_about_mesh(params)

    async def _call_about_mesh(self, params: protocol.Params) -> Any:
        operator = self._operator
        match params:
            case protocol.TraceParams(target, timeout_s):
                return await operator.trace(target, timeout_s)
            case protocol.CapabilitiesParams(pattern):
                return operator.capabilities(pattern)
            case protocol.MapParams():
                return await operator.map()
            case _:
                return self._plain_calls()[type(params)]()

    def _plain_calls(self) -> dict[type[protocol.Params], Callable[[], Any]]:
        operator = self._operator
        return {
            protocol.StateParams: operator.state,
            protocol.PeersParams: operator.peers,
            protocol.TrustListParams: operator.trust_list,
            protocol.RoutesParams: operator.routes,
            protocol.ConfigParams: operator.config,
            protocol.StopParams: operator.stop,
        }

    def _subscribe(self, request_id: int) -> None:
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ControlError("too many subscriptions of one client", "open another connection")
        task = asyncio.create_task(self._pump(request_id), name="control subscription")
        self._subscriptions.add(task)
        task.add_done_callback(self._subscriptions.discard)

    async def _pump(self, request_id: int) -> None:
        with self._operator.subscribe() as events, contextlib.suppress(ConnectionError):
            # The first line tells the client that nothing is missed from here on.
            await self._write(protocol.encode_result(request_id, None))
            async for event in events:
                await self._write(protocol.encode_event(request_id, event))
        self._writer.close()

    async def _write(self, line: bytes) -> None:
        self._writer.write(line)
        await self._writer.drain()
