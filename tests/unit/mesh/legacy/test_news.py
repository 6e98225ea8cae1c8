"""Which capabilities published neighbours are told of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.mesh.legacy.news import REPEAT_S, CapabilityNews
from ironmesh.types import NodeId

P, ONE, TWO = (NodeId(letter * 32) for letter in "a12")
LLM, TOOL = frozenset({"llm:x"}), frozenset({"tool:y"})


def test_a_neighbour_is_told_once_and_again_each_minute() -> None:
    news = CapabilityNews()
    assert news.take_due(P, {ONE: LLM}, 0.0, 5) == [(ONE, LLM)]
    assert news.take_due(P, {ONE: LLM}, REPEAT_S - 1, 5) == []
    assert news.take_due(P, {ONE: LLM}, REPEAT_S, 5) == [(ONE, LLM)]


def test_what_changed_and_what_is_gone_is_told_at_once() -> None:
    news = CapabilityNews()
    news.take_due(P, {ONE: LLM, TWO: TOOL}, 0.0, 5)
    assert news.take_due(P, {ONE: LLM | TOOL}, 1.0, 5) == [(TWO, frozenset()), (ONE, LLM | TOOL)]
    assert news.take_due(P, {ONE: LLM | TOOL}, 2.0, 5) == []


def test_nothing_is_said_of_a_node_without_capabilities() -> None:
    assert CapabilityNews().take_due(P, {ONE: frozenset()}, 0.0, 5) == []


def test_a_neighbour_that_comes_back_is_told_everything() -> None:
    news = CapabilityNews()
    news.take_due(P, {ONE: LLM}, 0.0, 5)
    news.link_down(P)
    assert news.take_due(P, {ONE: LLM}, 1.0, 5) == [(ONE, LLM)]


@given(
    rounds=st.lists(
        st.dictionaries(st.sampled_from([ONE, TWO, P]), st.sampled_from([LLM, TOOL, frozenset()])),
        max_size=8,
    ),
    limit=st.integers(1, 3),
)
def test_in_the_end_a_neighbour_believes_what_is_true(
    rounds: list[dict[NodeId, frozenset[str]]], limit: int
) -> None:
    news, believed, known = CapabilityNews(), {}, {}
    for now, known in enumerate(rounds):
        told = news.take_due(P, known, float(now), limit)
        assert len(told) <= limit
        believed |= dict(told)
    for now in range(len(rounds), len(rounds) + 6):
        believed |= dict(news.take_due(P, known, float(now), limit))
    assert {one: caps for one, caps in believed.items() if caps} == {
        one: caps for one, caps in known.items() if caps
    }
