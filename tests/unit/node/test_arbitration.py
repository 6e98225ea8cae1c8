"""Which of two sessions stays: decided alike at both ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.node.arbitration import CROSSING_WINDOW_S, Keep, SessionFacts, arbitrate
from ironmesh.types import NodeId

SMALL, LARGE = NodeId("0" * 32), NodeId("f" * 32)


def facts(*, out: bool, at: float = 0.0, ours: bool = True) -> SessionFacts:
    return SessionFacts(is_outgoing=out, established_mono=at, is_ours=ours)


def test_a_published_peer_never_replaces_its_own_live_session():
    for out in (True, False):
        kept = arbitrate(
            facts(out=out, ours=False),
            facts(out=not out, at=100.0, ours=False),
            own_id=SMALL,
            peer_id=LARGE,
        )
        assert kept is Keep.EXISTING


def test_a_peer_of_ours_that_comes_back_replaces_its_old_session():
    later = CROSSING_WINDOW_S + 1
    for out in (True, False):
        kept = arbitrate(facts(out=out), facts(out=not out, at=later), own_id=SMALL, peer_id=LARGE)
        assert kept is Keep.NEW


@given(st.booleans(), st.booleans(), st.floats(0.0, CROSSING_WINDOW_S / 2))
def test_of_crossing_dials_both_ends_keep_the_one_that_the_smaller_id_dialled(
    small_sees_own_first, large_sees_own_first, gap
):
    """Each end may see the two sessions in either order; the same session stays."""
    kept = set()
    for own_id, peer_id, sees_own_first in (
        (SMALL, LARGE, small_sees_own_first),
        (LARGE, SMALL, large_sees_own_first),
    ):
        first, second = facts(out=sees_own_first), facts(out=not sees_own_first, at=gap)
        winner = arbitrate(first, second, own_id=own_id, peer_id=peer_id)
        stays = first if winner is Keep.EXISTING else second
        kept.add(own_id if stays.is_outgoing else peer_id)
    assert kept == {SMALL}


@given(out=st.booleans(), again_out=st.booleans(), at=st.floats(0.0, 100.0), is_small=st.booleans())
def test_a_session_of_its_own_goes_before_one_through_a_tunnel(
    out: bool, again_out: bool, at: float, is_small: bool
) -> None:
    direct = SessionFacts(out, at, True)
    tunnel = SessionFacts(again_out, 50.0, True, is_tunnel=True)
    ids = {"own_id": SMALL, "peer_id": LARGE} if is_small else {"own_id": LARGE, "peer_id": SMALL}
    assert arbitrate(tunnel, direct, **ids) is Keep.NEW
    assert arbitrate(direct, tunnel, **ids) is Keep.EXISTING
