"""The chain shows every change of every line."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ironmesh.audit.chain import (
    MAX_DETAIL_CHARS,
    MAX_DETAILS,
    MAX_LINE_BYTES,
    START,
    Mark,
    Record,
    audit_key,
    bounded,
    open_head,
    open_line,
    seal,
    seal_head,
)
from ironmesh.audit.events import AuditEvent
from ironmesh.audit.verify import verify
from ironmesh.types import Secret

KEY = audit_key(Secret(bytes(range(32))))
OTHER_KEY = audit_key(Secret(bytes(32)))


def chain(length: int, *, key: Secret = KEY) -> tuple[list[bytes], Mark]:
    lines, mark = [], START
    for seq in range(1, length + 1):
        record = Record(seq, "2026-01-01T00:00:00.000Z", "PEER_PINNED", {"n": seq}, mark.entry)
        line, mark = seal(record, key)
        lines.append(line)
    return lines, mark


LINES, HEAD = chain(6)


def test_an_untouched_chain_is_right() -> None:  # F117
    report = verify(LINES, KEY, HEAD)
    assert report.ok
    assert report.count == 6
    assert report.first_bad is None
    assert verify([], KEY, START).ok


def test_a_line_is_one_json_object() -> None:
    record = json.loads(LINES[1])
    assert list(record) == ["seq", "ts", "event", "details", "prev", "mac"]
    assert record["prev"] == json.loads(LINES[0])["mac"]


@given(st.integers(0, len(LINES) - 1), st.data())
def test_every_changed_byte_is_found_with_the_number_of_its_entry(index: int, data) -> None:
    line = bytearray(LINES[index])
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))
    report = verify([*LINES[:index], bytes(line), *LINES[index + 1 :]], KEY, HEAD)
    assert not report.ok
    assert report.first_bad == index + 1
    assert report.count == index


@pytest.mark.parametrize("index", range(6))
def test_a_missing_line_is_found(index: int) -> None:
    report = verify([*LINES[:index], *LINES[index + 1 :]], KEY, HEAD)
    assert not report.ok
    assert report.first_bad == index + 1


@pytest.mark.parametrize("kept", range(6))
def test_a_cut_end_is_found_by_the_head(kept: int) -> None:
    report = verify(LINES[:kept], KEY, HEAD)
    assert not report.ok
    assert report.first_bad == kept + 1
    assert "cut off" in report.why


@given(st.permutations(range(6)))
def test_a_changed_order_is_found(order) -> None:
    assume(order != sorted(order))
    report = verify([LINES[index] for index in order], KEY, HEAD)
    assert not report.ok
    assert report.first_bad == next(i for i, index in enumerate(order) if i != index) + 1


@given(st.integers(0, 6), st.integers(0, 5))
def test_a_repeated_line_is_found(at: int, source: int) -> None:
    assert not verify([*LINES[:at], LINES[source], *LINES[at:]], KEY, HEAD).ok


@given(st.integers(0, 6), st.binary(min_size=1, max_size=300))
def test_an_inserted_line_is_found(at: int, line: bytes) -> None:
    report = verify([*LINES[:at], line + b"\n", *LINES[at:]], KEY, HEAD)
    assert not report.ok
    assert report.first_bad == at + 1


def test_lines_of_another_chain_under_the_same_key_are_found() -> None:
    other = seal(Record(3, "2026-01-01T00:00:00.000Z", "PEER_PINNED", {}, "ab" * 32), KEY)[0]
    report = verify([*LINES[:2], other, *LINES[3:]], KEY, HEAD)
    assert report.first_bad == 3
    longer, other_head = chain(7)
    assert verify(longer, KEY, HEAD).ok
    forked = Mark(5, other_head.entry)
    assert verify(longer, KEY, forked).first_bad == 5


def test_nothing_opens_under_another_key() -> None:
    assert open_line(LINES[0], OTHER_KEY) is None
    assert verify(LINES, OTHER_KEY).first_bad == 1


def test_a_head_is_no_record_and_a_record_no_head() -> None:
    head = seal_head(HEAD, KEY)
    assert open_head(head, KEY) == HEAD
    assert open_line(head, KEY) is None
    assert open_head(LINES[0], KEY) is None
    assert open_head(head, OTHER_KEY) is None


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", bytes(MAX_LINE_BYTES + 1)])
def test_what_is_no_record_does_not_open(line: bytes) -> None:
    assert open_line(line, KEY) is None


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        st.one_of(st.text(max_size=600), st.integers(), st.booleans(), st.floats(), st.none()),
        max_size=30,
    )
)
def test_any_details_make_a_bounded_line_that_opens(details) -> None:
    kept = bounded(details)
    line, mark = seal(Record(1, "t", AuditEvent.AUTH_FAILED, kept, START.entry), KEY)
    assert len(kept) <= MAX_DETAILS
    assert all(len(v) <= MAX_DETAIL_CHARS for v in kept.values() if isinstance(v, str))
    assert len(line) <= MAX_LINE_BYTES
    assert line.count(b"\n") == 1
    opened = open_line(line, KEY)
    assert opened is not None
    assert opened[1] == mark


def test_a_detail_of_another_type_is_kept_as_text() -> None:
    record = Record(1, "t", "X", bounded({"ports": [1, 2]}), START.entry)
    opened = open_line(seal(record, KEY)[0], KEY)
    assert opened is not None
    assert opened[0].details == {"ports": "[1, 2]"}


def test_a_record_of_a_shape_that_we_do_not_know_is_not_opened() -> None:
    record = Record(1, "t", "X", {"ports": [1, 2]}, START.entry)
    assert open_line(seal(record, KEY)[0], KEY) is None


def test_the_longest_details_fit_into_a_line() -> None:
    kept = bounded({f"name-{n}": "\x00" * 10_000 for n in range(40)})
    line, _mark = seal(Record(1, "t", AuditEvent.AUTH_FAILED, kept, START.entry), KEY)
    assert open_line(line, KEY) is not None
