import msgspec
import pytest
from tests.support.fake_operator import BOB, FakeOperator

from ironmesh.control.api import MAX_LIST, OutboxView
from ironmesh.control.health import Level, health
from ironmesh.types import MessagePriority, Refusal


@pytest.fixture
def operator():
    return FakeOperator()


def lines(operator, **changes):
    found = health(msgspec.structs.replace(operator.state(), **changes), operator.peers(), ())
    return {line.check: line for line in found}


def test_a_node_that_is_well_has_nothing_to_complain_about(operator):
    assert {line.level for line in lines(operator).values()} == {Level.OK}


@pytest.mark.parametrize(
    ("changes", "check", "level", "said"),
    [
        ({"listening": ()}, "listening", Level.FAIL, "nowhere"),
        ({"is_tls": False}, "listening", Level.WARN, "ws://127.0.0.1:8765, without TLS"),
        ({"is_tls": True}, "listening", Level.OK, "wss://127.0.0.1:8765"),
        ({"is_mdns_on": True}, "mdns", Level.OK, "by mDNS"),
        ({"is_mdns_on": False}, "mdns", Level.OK, "mDNS is off"),
        ({"warnings": ("INSECURE: x",)}, "posture", Level.WARN, "INSECURE: x"),
        (
            {"counters": {"refused.clock_skew": 3}},
            "refused.clock_skew",
            Level.WARN,
            "3 refused since the start (clock_skew): they were too old or from the future",
        ),
        ({"counters": {"refused.auth_failed": 1}}, "refused.auth_failed", Level.WARN, "passphrase"),
    ],
)
def test_what_needs_a_person_is_said(operator, changes, check, level, said):
    line = lines(operator, **changes)[check]
    assert line.level is level
    assert said in line.text


def test_everyday_noise_is_left_out(operator):
    noise = {f"refused.{reason}": 9 for reason in (Refusal.DUPLICATE, Refusal.NOT_WEBSOCKET)}
    assert not [check for check in lines(operator, counters=noise) if check.startswith("refused")]


def test_unverified_peers_of_the_0_8_wire_are_named(operator):
    [peer] = operator.peers()
    legacy = msgspec.structs.replace(peer, wire="legacy", is_verified=False)

    def said(*peers):
        return [
            line.text for line in health(operator.state(), peers, ()) if line.check == "unverified"
        ]

    [text] = said(legacy)
    assert text.startswith("bob on the 0.8 wire")
    for change in ({"wire": "native"}, {"is_verified": True}, {"is_online": False}):
        assert said(msgspec.structs.replace(legacy, **change)) == []


def test_peers_that_are_all_away_are_a_warning(operator):
    away = [msgspec.structs.replace(peer, is_online=False) for peer in operator.peers()]
    found = {line.check: line for line in health(operator.state(), away, ())}
    assert found["peers"].level is Level.WARN
    assert {line.check: line for line in health(operator.state(), [], ())}[
        "peers"
    ].level is Level.WARN


def waiting(number, state="queued", name="bob"):
    return OutboxView(
        id=str(number),
        node_id=BOB,
        name=name,
        type="MSG",
        priority=MessagePriority.NORMAL,
        size_bytes=1,
        state=state,
        accepted_at=0.0,
        expires_at=1.0,
        attempts=0,
    )


@pytest.mark.parametrize(
    ("messages", "level", "text"),
    [
        ([], Level.OK, "no message waits"),
        ([waiting(1)], Level.OK, "1 message waits for bob"),
        ([waiting(1), waiting(2, name="")], Level.OK, "2 messages wait for 8f3c2a1b, bob"),
        ([waiting(1), waiting(2, "held")], Level.WARN, "1 held there: see ironmesh outbox list"),
        ([waiting(n, name=f"n{n}") for n in range(9)], Level.OK, "n0, n1, n2, n3, n4, ..."),
        ([waiting(1)] * MAX_LIST, Level.OK, "10000 or more messages wait for bob"),
    ],
)
def test_messages_that_wait_are_counted(operator, messages, level, text):
    found = {line.check: line for line in health(operator.state(), (), messages)}["outbox"]
    assert found.level is level
    assert text in found.text
