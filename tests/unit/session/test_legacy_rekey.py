"""Key changes: nothing is lost, crossings are settled, silence is noticed."""

from typing import Any

import pytest
from tests.support.legacy import (
    NOW,
    SESSION_KEY,
    channel,
    exchange,
    forge,
    later,
    message,
    opened_messages,
    pair,
    refusals,
    says,
    settings,
)

from ironmesh.crypto import sodium
from ironmesh.errors import LocalProtocolError, RemoteProtocolError
from ironmesh.session.interface import Rekeyed, UnitRefused
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.settings import (
    KEY_CONFIRMATION_S,
    REKEY_TIMEOUT_S,
    RETIRED_KEY_S,
    LegacySettings,
)
from ironmesh.types import Refusal, Secret
from ironmesh.wire.legacy import control
from ironmesh.wire.legacy.handshake import to_base64


def _by_id(one: LegacySettings, other: LegacySettings) -> tuple[LegacySettings, LegacySettings]:
    """Return two nodes, the smaller node id first."""
    first, second = sorted((one, other), key=lambda party: party.identity.node_id)
    return first, second


SMALL, LARGE = _by_id(
    settings("alice", protocol_version="ironmesh/0.9"),
    settings("bob", protocol_version="ironmesh/0.9"),
)
OLD_SMALL = settings(SMALL.name, protocol_version="ironmesh/0.6")


def _key_of(one: LegacyChannel) -> Secret:
    assert one._sealer is not None
    return one._sealer._key


def _count(events: list[Any]) -> int:
    return sum(isinstance(event, Rekeyed) for event in events)


@pytest.mark.parametrize("starter", [0, 1], ids=["smaller id", "larger id"])
def test_either_side_may_change_the_key(starter: int) -> None:
    ends = pair(SMALL, LARGE)
    assert ends[starter].rekey(NOW)
    assert ends[starter].is_holding
    events = exchange(*ends)
    assert [_count(said) for said in events] == [1, 1]
    assert not any(isinstance(event, UnitRefused) for said in events for event in said)
    assert ends[0].rekey_count == ends[1].rekey_count == 1
    assert not ends[0].is_holding
    assert _key_of(ends[0]) == _key_of(ends[1]) != SESSION_KEY
    for sender, receiver, one, other in ((SMALL, LARGE, *ends), (LARGE, SMALL, *ends[::-1])):
        units = one.seal([message(sender, receiver)], NOW)
        assert len(opened_messages(other, units, NOW)) == 1


def test_messages_wait_while_our_request_is_out() -> None:
    small, large = pair(SMALL, LARGE)
    assert small.rekey(NOW)
    with pytest.raises(LocalProtocolError):
        small.seal([message(SMALL, LARGE)], NOW)
    small.ping(NOW)
    first, second = small.seal([], NOW)
    assert not small.wants_write
    small.ping(NOW)
    assert small.seal([], NOW) == []
    assert not small.wants_write
    for unit in (first, second):
        large.open(unit, NOW)
    for unit in large.seal([], NOW):
        small.open(unit, NOW)
    assert small.wants_write
    assert not small.is_holding


def test_a_second_change_does_not_start_while_one_is_under_way() -> None:
    small, large = pair(SMALL, LARGE)
    assert small.rekey(NOW)
    assert not small.rekey(NOW)
    (request,) = small.seal([], NOW)
    assert not small.rekey(NOW)
    large.open(request, NOW)
    assert not large.rekey(NOW)
    assert not large.is_holding


def test_frames_that_were_on_their_way_open_with_the_old_key() -> None:
    small, large = pair(SMALL, LARGE)
    under_way = large.seal([message(LARGE, SMALL, b"1"), message(LARGE, SMALL, b"2")], NOW)
    assert small.rekey(NOW)
    (request,) = small.seal([], NOW)
    assert large.open(request, NOW).events == [Rekeyed(1)]
    answer, ping, *late = large.seal([message(LARGE, SMALL, b"3")], NOW)
    assert [taken.payload for taken in opened_messages(small, under_way, NOW)] == [b"1", b"2"]
    assert small.open(answer, NOW).events == [Rekeyed(1)]
    assert [taken.payload for taken in opened_messages(small, [ping, *late], NOW)] == [b"3"]


def test_a_published_starter_that_does_not_hold_back_loses_nothing() -> None:
    large = channel(LARGE, SMALL)
    ephemeral = sodium.box_public(bytes(range(1, 33)))
    request = control.Control(
        type="REKEY_REQUEST", new_ephemeral_public=to_base64(ephemeral), rekey_id="r"
    )
    frames = [
        says(SMALL.identity, "*", type="REKEY_REQUEST", payload=control.encode(request), ttl=3),
        says(SMALL.identity, LARGE.identity.node_id, sequence=2, msg_id="m2"),
        says(SMALL.identity, LARGE.identity.node_id, sequence=3, msg_id="m3"),
    ]
    wires = [forge(SMALL.identity, says=said) for said in frames]
    large.open(wires[0], NOW)
    large.seal([], NOW)
    assert len(opened_messages(large, wires[1:2], later(1))) == 1
    assert refusals(large.open(wires[1], later(2))) == [Refusal.REPLAY]
    assert len(opened_messages(large, wires[2:], later(RETIRED_KEY_S - 1))) == 1
    late = says(SMALL.identity, "*", sequence=4, msg_id="m4", timestamp=NOW.wall + RETIRED_KEY_S)
    late_wire = forge(SMALL.identity, says=late)
    assert refusals(large.open(late_wire, later(RETIRED_KEY_S))) == [Refusal.UNDECRYPTABLE]


# --- Crossing requests -----------------------------------------------------------------------


def test_of_two_crossing_requests_the_smaller_ids_stands() -> None:
    small, large = pair(SMALL, LARGE)
    assert small.rekey(NOW)
    assert large.rekey(NOW)
    (of_small,) = small.seal([], NOW)
    (of_large,) = large.seal([], NOW)
    assert small.open(of_large, NOW).events == []
    assert large.open(of_small, NOW).events == [Rekeyed(1)]
    assert small.is_holding
    assert not large.is_holding
    exchange(small, large)
    assert small.rekey_count == large.rekey_count == 1
    assert _key_of(small) == _key_of(large)


def test_a_request_that_was_not_sent_yet_gives_way() -> None:
    small, large = pair(SMALL, LARGE)
    assert small.rekey(NOW)
    assert large.rekey(NOW)
    (of_large,) = large.seal([], NOW)
    assert small.open(of_large, NOW).events == [Rekeyed(1)]
    assert not small.is_holding
    exchange(small, large)
    assert small.rekey_count == large.rekey_count == 1
    assert _key_of(small) == _key_of(large)


def test_a_published_peer_answers_every_request_so_ours_stands() -> None:
    large = channel(LARGE, OLD_SMALL)
    assert large.rekey(NOW)
    large.seal([], NOW)
    key = control.Control(
        type="REKEY_REQUEST",
        new_ephemeral_public=to_base64(sodium.box_public(bytes(range(1, 33)))),
        rekey_id="theirs",
    )
    request = says(SMALL.identity, "*", type="REKEY_REQUEST", payload=control.encode(key))
    assert large.open(forge(SMALL.identity, says=request), NOW).events == []
    assert large.is_holding
    assert large.rekey_count == 0


# --- Timers ----------------------------------------------------------------------------------


def test_the_smaller_id_starts_at_the_interval_and_the_larger_never() -> None:
    timed = [
        settings(party.name, rekey_interval_s=20.0, identity=party.identity)
        for party in (SMALL, LARGE)
    ]
    small, large = pair(timed[0], timed[1])
    large.on_timer(later(25))
    assert not large.is_holding
    assert small.next_timer == NOW.mono + 20
    small.on_timer(later(19))
    assert not small.is_holding
    small.on_timer(later(20))
    assert small.is_holding
    exchange(small, large, later(20))
    assert small.rekey_count == 1
    small.on_timer(later(39))
    assert not small.is_holding
    small.on_timer(later(40))
    assert small.is_holding


def test_peers_before_0_5_are_never_asked() -> None:
    small = channel(
        settings(SMALL.name, rekey_interval_s=5.0), settings("x", protocol_version="ironmesh/0.4")
    )
    assert not small.rekey(NOW)
    small.on_timer(later(6))
    assert not small.is_holding


def test_an_answer_that_never_comes_ends_the_session() -> None:
    small, _ = pair(SMALL, LARGE)
    small.rekey(NOW)
    small.seal([], NOW)
    assert small.next_timer == NOW.mono + REKEY_TIMEOUT_S
    small.on_timer(later(REKEY_TIMEOUT_S - 1))
    with pytest.raises(RemoteProtocolError) as caught:
        small.on_timer(later(REKEY_TIMEOUT_S))
    assert caught.value.reason is Refusal.TIMEOUT


def test_a_lost_answer_is_noticed_by_the_side_that_gave_it() -> None:
    small, large = pair(SMALL, LARGE)
    small.rekey(NOW)
    (request,) = small.seal([], NOW)
    large.open(request, NOW)
    large.seal([], NOW)
    large.on_timer(later(KEY_CONFIRMATION_S - 1))
    with pytest.raises(RemoteProtocolError) as caught:
        large.on_timer(later(KEY_CONFIRMATION_S))
    assert caught.value.reason is Refusal.TIMEOUT


def test_a_finished_change_leaves_no_deadline_and_no_old_key() -> None:
    small, large = pair(SMALL, LARGE)
    small.rekey(NOW)
    exchange(small, large)
    for end in (small, large):
        end.on_timer(later(RETIRED_KEY_S))
        assert end._opener is not None
        assert end._opener._retired is None
        assert end._opener.confirm_by is None
        assert end._rekey._ephemeral is None


# --- Malformed -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["REKEY_REQUEST", "REKEY_RESPONSE"])
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, Refusal.BAD_BODY),
        ({"rekey_id": "r"}, Refusal.BAD_BODY),
        ({"new_ephemeral_public": to_base64(bytes(range(32)))}, Refusal.BAD_BODY),
        ({"new_ephemeral_public": "AAAA", "rekey_id": "r"}, Refusal.BAD_BODY),
        ({"new_ephemeral_public": "?", "rekey_id": "r"}, Refusal.BAD_BODY),
        ({"new_ephemeral_public": to_base64(bytes(32)), "rekey_id": "r"}, Refusal.PROTOCOL),
        ({"new_ephemeral_public": to_base64(bytes(31)), "rekey_id": ""}, Refusal.BAD_BODY),
    ],
    ids=str,
)
def test_malformed_key_changes_are_refused(
    kind: str, members: dict[str, Any], reason: Refusal
) -> None:
    _, large = pair(SMALL, LARGE)
    said = control.Control(type=kind, **members)
    wire = forge(
        SMALL.identity, says=says(SMALL.identity, "*", type=kind, payload=control.encode(said))
    )
    assert refusals(large.open(wire, NOW)) == [reason]
    assert large.rekey_count == 0
    assert not large.wants_write


@pytest.mark.parametrize("rekey_id", ["other", None])
def test_an_answer_to_no_request_of_ours_is_refused(rekey_id: str | None) -> None:
    small, large = pair(SMALL, LARGE)
    if rekey_id:
        small.rekey(NOW)
        small.seal([], NOW)
    said = control.Control(
        type="REKEY_RESPONSE",
        new_ephemeral_public=to_base64(sodium.box_public(bytes(range(1, 33)))),
        rekey_id=rekey_id or "r",
    )
    wire = forge(
        LARGE.identity,
        says=says(LARGE.identity, "*", type="REKEY_RESPONSE", payload=control.encode(said)),
    )
    assert refusals(small.open(wire, NOW)) == [Refusal.PROTOCOL]
    assert small.rekey_count == 0
    assert large.rekey_count == 0


def test_requests_are_answered_one_at_a_time() -> None:
    large = channel(LARGE, SMALL)
    reasons = []
    for number in range(1, 4):
        said = control.Control(
            type="REKEY_REQUEST",
            new_ephemeral_public=to_base64(sodium.box_public(bytes([number] * 32))),
            rekey_id=f"r{number}",
        )
        wire = forge(
            SMALL.identity,
            says=says(
                SMALL.identity,
                "*",
                type="REKEY_REQUEST",
                payload=control.encode(said),
                sequence=number,
                msg_id=f"m{number}",
            ),
        )
        reasons += refusals(large.open(wire, NOW))
    assert reasons == [Refusal.LIMIT] * 2
    assert large.rekey_count == 1


def test_an_answer_with_a_key_of_low_order_changes_nothing() -> None:
    small, _ = pair(SMALL, LARGE)
    small.rekey(NOW)
    small.seal([], NOW)
    said = control.Control(
        type="REKEY_RESPONSE",
        new_ephemeral_public=to_base64(bytes(32)),
        rekey_id=small._rekey._rekey_id,
    )
    wire = forge(
        LARGE.identity,
        says=says(LARGE.identity, "*", type="REKEY_RESPONSE", payload=control.encode(said)),
    )
    assert refusals(small.open(wire, NOW)) == [Refusal.PROTOCOL]
    assert small.is_holding
    assert _key_of(small) == SESSION_KEY
