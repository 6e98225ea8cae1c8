"""A handshake message that changed on its way is refused by name, or means the same."""

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.support.legacy import (
    NOW,
    refusal_of,
    settings,
)
from tests.support.mutations import mutations

from ironmesh.errors import HandshakeError
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.types import Refusal, Unit

VERSIONS = ("ironmesh/0.6.5", "ironmesh/0.9")


def _meet(change: Callable[[bytes], bytes], index: int, version: str) -> tuple[Any, Any]:
    """Run a handshake whose message number `index` is changed on the way; return both claims."""
    sent = itertools.count()

    def carry(unit: Unit) -> Unit:
        data = unit.encode() if isinstance(unit, str) else unit
        return change(data) if next(sent) == index else data

    client = ClientHandshake(settings("alice", protocol_version=version))
    server = ServerHandshake(settings("bob", protocol_version=version))
    client.start(NOW)
    (proof,) = client.receive(carry(server.start(NOW)[0]), NOW)
    (verified,) = server.receive(carry(proof), NOW)
    (hello,) = client.receive(carry(verified), NOW)
    server.receive(carry(hello), NOW)
    (answer,) = server.accept(NOW).units
    client.receive(carry(answer), NOW)
    return client.claim, server.claim


@hypothesis_settings(max_examples=300, deadline=None)
@given(change=mutations(), index=st.integers(0, 4), version=st.sampled_from(VERSIONS))
def test_a_changed_message_is_refused_by_name_or_means_the_same(
    change: Callable[[bytes], bytes], index: int, version: str
) -> None:
    try:
        claims = _meet(change, index, version)
    except HandshakeError:
        return
    assert claims == _meet(lambda data: data, -1, version)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_arbitrary_units_never_raise_anything_else(unit: Unit) -> None:
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    client.start(NOW)
    server.start(NOW)
    for machine in (client, server):
        assert refusal_of(machine.receive, unit, NOW) is Refusal.PROTOCOL
