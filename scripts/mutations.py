"""Take one check after the other out of the sources, and see the attack tests fail without it.

    python scripts/mutations.py [--row A8]

Each mutation is tried in a copy of the tree, which is thrown away: the work tree is not touched. A
mutation that its tests do not notice survives; then the exit code is 1. So it is if the text that
a mutation replaces is no longer there: move it along with the check.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("src", "tests", "scripts", "spec", "pyproject.toml")
LIMIT_S = 120.0
"""For the tests of one mutation; one that hangs them is noticed."""
UNCHANGED_LIMIT_S = 900.0
"""For all of them, while nothing is taken out."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A check, taken out."""

    row: str
    """Of the table of attacks in docs/security.md; BAD: of its bad input."""
    file: str
    """Below src/ironmesh."""
    old: str
    """Stands in the file exactly once."""
    new: str
    tests: str
    """An expression as for `pytest -k`: at least one of these tests must fail."""
    also: tuple[tuple[str, str, str], ...] = ()
    """File, old and new text of the same check in other places: it is made twice."""


class Result(Enum):
    """What became of a mutation."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    OUTDATED = "OUTDATED"
    """The text is not there, or more than once."""
    BROKEN = "BROKEN"
    """No test ran: what came out is no program, or no test has such a name."""


_NATIVE = "session/native/"
_PARCELS = "session/parcels/"
_LEGACY = "session/legacy/"
MUTATIONS = (
    Mutation(
        "A1",
        _NATIVE + "schedule.py",
        "return hybrid.expand(chain, role.seal_label + transcript)",
        "return hybrid.expand(Secret(bytes(32)), role.seal_label)",
        "a1_",
    ),
    Mutation(
        "A1",
        _NATIVE + "exchange.py",
        "return answer, (exchanged, sent.secret, isk) if sent else (exchanged, isk)",
        "return answer, (exchanged, sent.secret, bytes(64)) if sent else (exchanged, isk)",
        "a1_ or a2_",
    ),
    Mutation(
        "A2",
        _NATIVE + "responder.py",
        "        refusal = self._may_answer()\n",
        "        refusal = None\n",
        "a2_an_address or a2_guesses",
    ),
    Mutation(
        "A2",
        "node/gate.py",
        "        if self._has_paid:\n            self._ration.proved",
        "        if not self._has_paid:\n            self._ration.proved",
        "a2_who_proves",
    ),
    Mutation(
        "A2",
        "node/dialer.py",
        "        if rest_s:\n",
        "        if rest_s < 0:\n",
        "a2_who_cannot",
    ),
    Mutation(
        "A2",
        _NATIVE + "initiator.py",
        "refusal = None if self._guess is None else self._guess.may_be_given()",
        "refusal = None",
        "a2_dials",
    ),
    Mutation(
        "A2",
        _NATIVE + "initiator.py",
        "                self._guess.was_wrong()\n",
        "                self._guess.may_be_given()\n",
        "a2_dials or a2_who_cannot",
    ),
    Mutation(
        "A2",
        "node/wires.py",
        "        if self._config.legacy is LegacyMode.OFF:\n",
        "        if self._config is None:\n",
        "a2_a_stripped",
    ),
    Mutation(
        "A3",
        _NATIVE + "proof.py",
        "        opened = hybrid.open_sealed(key, hybrid.ZERO_NONCE, sealed, transcript)\n",
        "        opened = sealed[:-16]\n",
        "a3_",
    ),
    Mutation(
        "A4",
        _NATIVE + "exchange.py",
        "if answer.nonce == said.nonce or answer.public == said.public or answer.share",
        "if answer.nonce == b'' and answer.share",
        "a4_nonce",
    ),
    Mutation(
        "A4",
        _NATIVE + "proof.py",
        "if claim.node_id == own:",
        "if claim.node_id == '':",
        "a4_a_node",
        (
            (
                "node/welcome.py",
                "if claim.node_id == self._own_id:",
                "if claim.node_id == '':",
            ),
        ),
    ),
    Mutation(
        "A4",
        _NATIVE + "responder.py",
        "        if not self._may_resume:\n",
        "        if self._may_resume is None:\n",
        "a4_a_ticket",
    ),
    Mutation(
        "A4",
        _NATIVE + "tickets.py",
        'expand(secret, b"ticket " + role.label, TICKET_BYTES)',
        'expand(secret, b"ticket ", TICKET_BYTES)',
        "a4_a_ticket",
        (
            (
                _NATIVE + "tickets.py",
                'expand(self.secret, b"binder " + self.role.label)',
                'expand(self.secret, b"binder ")',
            ),
        ),
    ),
    Mutation(
        "A5",
        _NATIVE + "proof.py",
        "if not prehash.verify(statement.identity_public, ",
        "if not (lambda *_: True)(statement.identity_public, ",
        "a5_an_insider or a5_a_signature or a5_an_answer",
    ),
    Mutation(
        "A5",
        "node/entrance.py",
        "        if isinstance(judged, Turned):\n",
        "        if isinstance(judged, Turned) and judged.reason is Refusal.SELF:\n",
        "a5_an_insider or a10_",
    ),
    Mutation(
        "A6",
        _NATIVE + "proof.py",
        "return HANDSHAKE_LABEL + role.label + transcript + sha256(said)",
        "return HANDSHAKE_LABEL + role.label + sha256(said)",
        "a6_the_proof",
    ),
    Mutation(
        "A6",
        "node/welcome.py",
        "if expected is not None and claim.node_id != expected:",
        "if expected is not None and claim.node_id == '':",
        "a6_who_answers or a6_another",
        (
            (
                "session/interface.py",
                "if expected is not None and claim.node_id != expected:",
                "if expected is not None and claim.node_id == '':",
            ),
        ),
    ),
    Mutation(
        "A6",
        "node/dialer.py",
        "dialled = Dialled(target.node_id, guess, target.is_given)",
        "dialled = Dialled(None, guess, target.is_given)",
        "a6_another",
    ),
    Mutation(
        "A7",
        _NATIVE + "tickets.py",
        "            self._held[peer].theirs.remove(ticket)\n\n    def drop(",
        "            self._peers[ticket.number] = peer\n\n    def drop(",
        "a7_a_resumption",
    ),
    Mutation(
        "A7",
        _NATIVE + "responder.py",
        "return ticket if same(said.binder, expected) else None",
        "return ticket if len(said.binder) == len(expected) else None",
        "a7_a_ticket",
    ),
    Mutation(
        "A8",
        _NATIVE + "sealing.py",
        "        self._check_place(header)\n",
        "",
        "a8_",
    ),
    Mutation(
        "A8",
        _NATIVE + "sealing.py",
        "if is_past or header.phase == (phase - 1) % _PHASES:",
        "if header.phase == (phase - 1) % _PHASES:",
        "a8_a_record",
    ),
    Mutation(
        "A8",
        "node/link.py",
        "if self._channel.is_truncated else",
        "if self._channel is None else",
        "a8_an_end",
    ),
    Mutation(
        "A8",
        "node/link.py",
        "        self._owner.link_event(self, UnitRefused(error.reason, str(error)))\n",
        "",
        "a8_a_record",
    ),
    Mutation(
        "A9",
        _NATIVE + "channel.py",
        "        if not is_signed and not all(map(_needs_no_signature, items)):\n",
        "        if not is_signed and not items:\n",
        "a9_a_message_without",
    ),
    Mutation(
        "A9",
        _NATIVE + "sealing.py",
        "        if not prehash.verify(self._public, text, opened[-SIGNATURE_BYTES:]):\n",
        "        if not text:\n",
        "a9_a_message_that",
    ),
    Mutation(
        "A10",
        "wire/native/handshake.py",
        "    if version < VERSION:\n",
        "    if version < 0:\n",
        "a10_another",
    ),
    Mutation(
        "A10",
        _NATIVE + "responder.py",
        "        if said.profile != wanted:\n",
        "        if said.profile == 0:\n",
        "a10_the_profile",
    ),
    Mutation(
        "A10",
        _NATIVE + "schedule.py",
        "for text in (self.transport, *self.offered, self.chosen))",
        "for text in (self.transport, self.chosen))",
        "a10_an_offer",
        (
            (
                _NATIVE + "schedule.py",
                'count = len(self.offered).to_bytes(4, "big")',
                "count = bytes(4)",
            ),
        ),
    ),
    Mutation(
        "A10",
        "node/welcome.py",
        "if is_talked_down(claim.protocol_version):",
        "if is_talked_down(''):",
        "a10_two or a10_a_native",
    ),
    Mutation(
        "A10",
        "node/entrance.py",
        "self._trust.admit(claim, now, state=first_state(claim))",
        "self._trust.admit(claim, now)",
        "a10_a_new_peer or a1_on",
    ),
    Mutation(
        "A11",
        _NATIVE + "proof.py",
        "return hybrid.seal(key, hybrid.ZERO_NONCE, said + signature, transcript)",
        "return said + signature + bytes(16)",
        "a11_",
    ),
    Mutation(
        "A12",
        _NATIVE + "ratchet.py",
        "        self._key = both[:_KEY_BYTES]\n",
        "",
        "a12_",
    ),
    Mutation(
        "A13",
        _PARCELS + "sealing.py",
        "    return head + hybrid.seal(key, hybrid.ZERO_NONCE, opened, bound)\n",
        "    return head + opened + key[:16]\n",
        "a13_a_relay_sees",
        (
            (
                _PARCELS + "sealing.py",
                "hybrid.open_sealed(key, hybrid.ZERO_NONCE, split.sealed, bound)",
                "split.sealed[:-16]",
            ),
        ),
    ),
    Mutation(
        "A13",
        _PARCELS + "sealing.py",
        "    if not prehash.verify(source, text, opened[-SIGNATURE_BYTES:]):\n",
        "    if not text:\n",
        "a13_nobody",
    ),
    Mutation(
        "A13",
        _PARCELS + "prekeys.py",
        "            if age_s < DESTROY_AFTER_S:\n",
        "            if age_s >= 0.0:\n",
        "a13_a_parcel_of_a_week",
        (
            (
                _PARCELS + "prekeys.py",
                "            if now.mono - prekey.born < DESTROY_AFTER_S\n",
                "            if prekey.number\n",
            ),
        ),
    ),
    Mutation(
        "A13",
        "node/mesh/arrivals.py",
        "is_fresh=opened.is_fresh",
        "is_fresh=True",
        "a13_parcels_of_before",
    ),
    Mutation(
        "A13",
        _PARCELS + "reader.py",
        "        if said.sequence > lane.next:\n",
        "        lane.next = said.sequence\n        if said.sequence > lane.next:\n",
        "a13_parcels_that",
    ),
    Mutation(
        "A13",
        _LEGACY + "sources.py",
        "                if sodium.verify(source_public, signed, signature):\n",
        "                if signed:\n",
        "a13_on_the_08_wire_what_a_relay_alters or a13_what_a_bridge",
    ),
    Mutation(
        "A13",
        _LEGACY + "provenance.py",
        "        if source_public is None and inner.type != TUNNEL_TYPE:\n",
        "        if source_public is None and not inner.type:\n",
        "a13_on_the_08_wire_nobody",
    ),
    Mutation(
        "A13",
        _LEGACY + "sources.py",
        'payload=payload if sealed is None else b"",',
        "payload=payload,",
        "a13_a_relay_of_the_08_wire_reads",
    ),
    Mutation(
        "A13",
        "node/mesh/legacy_ways.py",
        "        return seal_to is not None or self._allows_plain\n",
        "        return True\n",
        "a13_without_a_key",
    ),
    Mutation(
        "A13",
        "wire/legacy/bridged.py",
        "    if node_id_of(public) != said.source:\n",
        "    if not public:\n",
        "a13_what_a_bridge",
    ),
    Mutation(
        "A13",
        "node/mesh/bridge.py",
        "        if source != sender and (self._keys.is_native(source) or",
        "        if source == self._own_id and (self._keys.is_native(source) or",
        "a13_a_native_node_is_never",
    ),
    Mutation(
        "A14",
        "node/mesh/legacy.py",
        "        if announce.origin != link.peer:\n",
        "        if not announce.origin:\n",
        "a14_on_the_08_wire_routes_in",
    ),
    Mutation(
        "A14",
        "mesh/legacy/table.py",
        "            and not is_forged(entry, neighbour)\n",
        "",
        "a14_on_the_08_wire_who_claims",
    ),
    Mutation(
        "A14",
        "node/capabilities.py",
        "        if announce.origin not in (None, link.peer):\n",
        "        if not announce.capabilities:\n",
        "a14_on_the_08_wire_capabilities",
    ),
    Mutation(
        "A14",
        "mesh/routing/router.py",
        "        if beacon.origin != origin or not self._check(beacon):\n",
        "        if beacon.origin != origin:\n",
        "a14_a_beacon",
    ),
    Mutation(
        "A14",
        "mesh/records.py",
        "            known = sha256(blob).digest()\n            origins",
        "            known = next(iter(self._listed))\n            origins",
        "a14_a_record",
    ),
    Mutation(
        "A14",
        "mesh/routing/router.py",
        "        if known is not None and beacon.sequence <= known.sequence:\n",
        "        if known is not None and beacon == known:\n",
        "a14_an_old_record",
        (
            (
                "mesh/records.py",
                "            if beacon.sequence <= entry.beacon.sequence:\n",
                "            if beacon == entry.beacon:\n",
            ),
        ),
    ),
    Mutation(
        "A14",
        "mesh/revocations.py",
        "        if not is_own and not is_authorised:\n",
        "        if not is_own and not revocation.signer:\n",
        "a14_nobody_revokes",
    ),
    Mutation(
        "A14",
        "mesh/names.py",
        "    if len(claimants) > 1:\n",
        "    if len(claimants) > 9:\n",
        "a14_a_name",
    ),
    Mutation(
        "A15",
        "node/mesh/records.py",
        "                case Answer(peer, _) if not self._may_answer(peer):\n",
        "                case Answer(peer, _) if not peer:\n",
        "a15_who_asks",
    ),
    Mutation(
        "A15",
        "node/door.py",
        "        if self._totals[hall] >= self._limits.per_hall:\n",
        "        if self._totals[hall] < 0:\n",
        "a15_hundreds",
    ),
    Mutation(
        "A15",
        "node/door.py",
        "        if taken.get(source, 0) >= self._limits.per_source:\n",
        "        if taken.get(source, 0) < 0:\n",
        "a15_one_address",
    ),
    Mutation(
        "A15",
        _NATIVE + "responder.py",
        "self._wait(ResponderState.ANSWERED, now, MESSAGE_TIMEOUT_S)",
        "self._wait(ResponderState.ANSWERED, now, 3600.0)",
        "a15_who_does",
    ),
    Mutation(
        "A15",
        _NATIVE + "liveness.py",
        "        if self._tokens < 1:\n",
        "        if self._tokens < -1e9:\n",
        "a15_a_flood_of_pings",
    ),
    Mutation(
        "BAD",
        "wire/native/messages.py",
        "            elif data[at] in SKIPPED:\n",
        "            elif data[at] in ():\n",
        "bad_input_a_type",
    ),
    Mutation(
        "BAD",
        "wire/native/messages.py",
        "    if flags & ~PRIORITY_BITS:\n        raise _flags(flags)\n    return Head(kind, flags, NO_ID, 0)",
        "    return Head(kind, flags & PRIORITY_BITS, NO_ID, 0)",
        "bad_input_what",
    ),
    Mutation(
        "BAD",
        "wire/native/records.py",
        '        raise RemoteProtocolError(Refusal.PROTOCOL, "a record with unknown flags")\n',
        "        pass\n",
        "bad_input_an_unknown_flag",
    ),
    Mutation(
        "BAD",
        "delivery/lane.py",
        "while count < self._limits.window_messages and size_bytes",
        "while count >= 0 and size_bytes",
        "bad_input_who_never",
    ),
)


def mutated(tree: Path, mutation: Mutation) -> bool:
    """Change a copy of the tree; False if the text is not there exactly once."""
    for file, old, new in ((mutation.file, mutation.old, mutation.new), *mutation.also):
        path = tree / "src" / "ironmesh" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            return False
        path.write_text(text.replace(old, new), encoding="utf-8")
    return True


def outcome(tree: Path, tests: str, limit_s: float = LIMIT_S) -> Result:
    """Run the tests of a mutation in the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    try:
        code = subprocess.run(
            [*command, "tests/attacks", "-k", tests, "--timeout", "40"],
            cwd=tree,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return Result.KILLED
    return {0: Result.SURVIVED, 1: Result.KILLED}.get(code, Result.BROKEN)


def copied(folder: str) -> Path:
    """Copy what the tests need; return the copy."""
    tree = Path(folder)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    return tree


def tried(mutation: Mutation) -> Result:
    """Try one mutation in a copy of its own."""
    with tempfile.TemporaryDirectory(prefix="ironmesh-mutation-") as folder:
        tree = copied(folder)
        if not mutated(tree, mutation):
            return Result.OUTDATED
        return outcome(tree, mutation.tests)


def passes_unchanged(mutations: Sequence[Mutation]) -> bool:
    """Tell whether all the tests pass while nothing is taken out: else their failures say nothing."""
    with tempfile.TemporaryDirectory(prefix="ironmesh-mutation-") as folder:
        tests = " or ".join(dict.fromkeys(mutation.tests for mutation in mutations))
        return outcome(copied(folder), tests, UNCHANGED_LIMIT_S) is Result.SURVIVED


def main() -> int:
    """Try the wanted mutations and print a table."""
    parser = argparse.ArgumentParser(description="take checks out, and see the attack tests fail")
    parser.add_argument("--row", action="append", help="only mutations of this row, such as A8")
    rows = parser.parse_args().row
    wanted = [mutation for mutation in MUTATIONS if not rows or mutation.row in rows]
    if not passes_unchanged(wanted):
        print(
            "the tests fail, or none has such a name, while nothing is taken out", file=sys.stderr
        )
        return 1
    results = []
    for mutation in wanted:
        start = time.monotonic()
        result = tried(mutation)
        results.append(result)
        what = mutation.old.strip().splitlines()[0]
        seconds = time.monotonic() - start
        print(f"{result.value:<9} {mutation.row:<4} {mutation.file:<28} {seconds:5.1f} s  {what}")
        sys.stdout.flush()
    print(f"\n{results.count(Result.KILLED)} of {len(results)} mutations were noticed")
    return 0 if results and all(result is Result.KILLED for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
