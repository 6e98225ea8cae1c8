"""The vectors of the native handshake: made by a second implementation, met by the machines."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from scripts import native_vectors
from tests.support.native import FAST, NOW, agree, keys_of, refusal_of
from tests.support.vectors import load

from ironmesh.config import KdfCost
from ironmesh.crypto import hybrid
from ironmesh.crypto.hybrid import Encapsulated
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.meshkey import mesh_secret
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.keys import SessionKeys
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.schedule import Negotiated
from ironmesh.session.native.settings import NativeSettings
from ironmesh.session.native.tickets import Tickets
from ironmesh.types import Instant, Secret
from ironmesh.wire.native.constants import TICKET_UNKNOWN

VECTORS = load("native-handshake")
each_full = pytest.mark.parametrize("vector", VECTORS["full"], ids=lambda v: v["name"])
each_resumed = pytest.mark.parametrize("vector", VECTORS["resumed"], ids=lambda v: v["name"])


def test_the_second_implementation_writes_the_vectors_as_they_are() -> None:
    assert native_vectors.as_json(native_vectors.build(VECTORS)) == VECTORS


def unhex(value: str) -> bytes:
    return bytes.fromhex(value)


def negotiated(vector: Any) -> Negotiated:
    said = vector["negotiation"]
    return Negotiated(
        said["transport"],
        tuple(said["offered"]),
        said["chosen"],
        is_radio_small=said["transport"] == "reticulum",
    )


def node(vector: Any, role: str, draws: list[str], tickets: Tickets | None = None) -> Any:
    who, left = vector[role], [unhex(draw) for draw in draws]
    kem = vector["ml_kem"]

    def encapsulate(public: bytes) -> Encapsulated:
        assert public == unhex(kem["public"])
        return Encapsulated(unhex(kem["ciphertext"]), unhex(kem["secret"]))

    return NativeSettings(
        identity=Identity.from_seed(unhex(who["identity_seed"])),
        name=who["name"],
        prs={vector["generation"]: Secret(unhex(vector["prs"]))},
        random=lambda size: left.pop(0)[:size],
        features=who["features"],
        record_sequence=lambda: who["record_sequence"],
        encapsulate=encapsulate,
        tickets=tickets or Tickets(),
    )


def at(vector: Any, role: str) -> Instant:
    return Instant(NOW.mono, vector[role]["clock_ms"] / 1000)


def run(vector: Any) -> tuple[list[bytes], InitiatorHandshake, ResponderHandshake]:
    """Run both machines with the draws of a vector, up to the decision of both."""
    draws = vector["draws"]
    kem_seed = [vector["ml_kem"]["seed"]] if vector["ml_kem"] else []
    dialler = node(vector, "initiator", [draws[n] for n in ("nonce_i", "e_i", "y_i")] + kem_seed)
    listener = node(vector, "responder", [draws[n] for n in ("nonce_r", "e_r", "y_r")])
    one = InitiatorHandshake(dialler, negotiated(vector))
    other = ResponderHandshake(listener, negotiated(vector), lambda: None)
    other.start(NOW)
    (m1,) = one.start(at(vector, "initiator"))
    (m2,) = other.receive(m1, at(vector, "responder"))
    one.receive(m2, at(vector, "initiator"))
    (m3,) = one._last_units
    other.receive(m3, NOW)
    return [m1, m2, m3], one, other


def keys_match(keys: SessionKeys, expected: Any) -> bool:
    return {
        "session_id": keys.session_id.hex(),
        "root": keys.root.reveal().hex(),
        "i2r": keys.initiator_chain.reveal().hex(),
        "r2i": keys.responder_chain.reveal().hex(),
        "resumption": keys.resumption.reveal().hex(),
    }.items() <= expected.items()


@each_full
def test_the_machines_say_what_the_vectors_say(vector: Any) -> None:
    units, one, other = run(vector)
    assert [unit.hex() for unit in units] == [vector["m1"], vector["m2"], vector["m3"]]
    assert agree(keys_of(one), keys_of(other))
    assert keys_match(keys_of(one), vector["session"])
    assert one.claim is not None
    assert one.claim.name == vector["responder"]["name"]


@each_resumed
def test_the_machines_resume_as_the_vectors_do(vector: Any) -> None:
    before = next(full for full in VECTORS["full"] if full["name"] == vector["resumes"])
    _units, one, other = run(before)
    ends = {"initiator": one, "responder": other}
    for machine in ends.values():
        assert machine._outcome is not None
        machine._outcome.keep_tickets(machine._settings, NOW)
    role = vector["ticket_of"]
    other_role = "responder" if role == "initiator" else "initiator"
    draws = vector["draws"]
    dialler = node(before, role, [draws["nonce_i"], draws["e_i"]], ends[role]._settings.tickets)
    listener = node(
        before, other_role, [draws["nonce_r"], draws["e_r"]], ends[other_role]._settings.tickets
    )
    dialling = InitiatorHandshake(dialler, negotiated(vector), resume=listener.identity.node_id)
    (first,) = dialling.start(NOW)
    assert first.hex() == vector["first"]
    answering = ResponderHandshake(listener, negotiated(vector), lambda: None)
    answering.start(NOW)
    assert answering.receive(first, NOW) == []
    (answer,) = answering._last_units
    assert answer.hex() == vector["answer"]
    dialling.receive(answer, NOW)
    assert agree(keys_of(dialling), keys_of(answering))
    assert keys_match(keys_of(dialling), vector["session"])


@each_resumed
def test_an_unknown_ticket_enters_the_transcript(vector: Any) -> None:
    before = next(full for full in VECTORS["full"] if full["name"] == vector["resumes"])
    stranger = ResponderHandshake(node(before, "responder", []), negotiated(vector), lambda: None)
    stranger.start(NOW)
    assert stranger.receive(unhex(vector["first"]), NOW) == [TICKET_UNKNOWN]
    assert stranger._transcript.hex() == vector["h0_if_unknown"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["name"])
def test_the_first_messages_of_the_vectors_are_refused(vector: Any) -> None:
    drawn = VECTORS["full"][0]
    listener = node(drawn, "responder", [drawn["draws"][n] for n in ("nonce_r", "e_r", "y_r")])
    machine = ResponderHandshake(
        replace(listener, encapsulate=hybrid.encapsulate), FAST, lambda: None
    )
    machine.start(NOW)
    assert refusal_of(machine, unhex(vector["m1"])) is not None
    assert machine.close_code == vector["close_code"]


@pytest.mark.parametrize("vector", VECTORS["mesh_secret"], ids=lambda v: f"{v['passes']} passes")
def test_passphrases_become_the_secrets_of_the_vectors(vector: Any) -> None:
    cost = KdfCost(vector["passes"], vector["memory_bytes"])
    secret = mesh_secret(Secret(vector["passphrase"]), vector["mesh"], cost)
    assert secret.reveal().hex() == vector["prs"]
