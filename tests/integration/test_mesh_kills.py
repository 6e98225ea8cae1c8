"""A relay, or a destination behind one, is killed again and again under load."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.support.agents import prepare
from tests.support.victims import Victim, check, missing, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KILLS = 6
LONGEST_LIFE_S = 2.0
"""Of a process that was up: routes need a moment before anything goes."""


@pytest.mark.parametrize("killed", ["relay", "destination"])
def test_nothing_is_lost_or_comes_twice_or_out_of_order_over_a_relay(
    killed: str, tmp_path: Path
) -> None:
    moments = random.Random(killed)
    alice, relay, carol = (Victim(name, tmp_path) for name in ("alice", "relay", "carol"))
    alice.peer_port = carol.peer_port = relay.port
    everybody = (relay, alice, carol)
    for one in everybody:
        prepare(one.name)
    try:
        for one in everybody:
            one.start()
        relay.wait_up()
        carol.target, alice.target = alice.wait_up(), carol.wait_up()
        for one in (alice, carol):
            assert one.process is not None
            one.process.write(one.target + "\n")
        victim = relay if killed == "relay" else carol
        for _ in range(KILLS):
            time.sleep(moments.uniform(0.2, LONGEST_LIFE_S))
            victim.kill(stopped_s=moments.choice([0, moments.uniform(0, 0.5)]))
            victim.start()
            victim.wait_up()
        until(
            lambda: (
                alice.is_done
                and carol.is_done
                and not (missing(alice, carol) or missing(carol, alice))
            ),
            lambda: f"lost {missing(alice, carol)} and {missing(carol, alice)}",
        )
    finally:
        for one in everybody:
            if one.process is not None:
                one.process.kill()
    assert check(alice.handled) + check(carol.handled) <= KILLS
