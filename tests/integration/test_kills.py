"""Two live nodes under load are killed again and again; no promise is broken."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.support.agents import prepare
from tests.support.victims import Victim, check, missing, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TESTS, KILLS = 10, 10
LONGEST_LIFE_S = 0.25
"""Of a process that was up; many are killed while they still send and receive."""


@pytest.mark.parametrize("seed", range(TESTS))
def test_nothing_accepted_is_lost_or_comes_twice_unmarked_whoever_is_killed(
    seed: int, tmp_path: Path
) -> None:
    moments = random.Random(seed)
    victims = alice, bob = Victim("alice", tmp_path), Victim("bob", tmp_path)
    alice.peer_port, bob.peer_port = bob.port, alice.port
    for victim in victims:
        prepare(victim.name)
    try:
        for victim in victims:
            victim.start()
        bob.target, alice.target = alice.wait_up(), bob.wait_up()
        for victim in victims:
            assert victim.process is not None
            victim.process.write(victim.target + "\n")
        for _ in range(KILLS):
            victim = moments.choice(victims)
            if moments.random() > 0.1:  # else it is killed while it starts
                victim.wait_up()
            time.sleep(moments.uniform(0, LONGEST_LIFE_S))
            victim.kill(stopped_s=moments.choice([0, moments.uniform(0, LONGEST_LIFE_S)]))
            victim.start()
        until(
            lambda: (
                all(victim.is_done for victim in victims)
                and not (missing(alice, bob) or missing(bob, alice))
            ),
            lambda: f"seed {seed}: lost {missing(alice, bob)} and {missing(bob, alice)}",
        )
    finally:
        for victim in victims:
            if victim.process is not None:
                victim.process.kill()
    again = [check(victim.handled) for victim in victims]
    print(f"seed {seed}: accepted {len(alice.accepted)} and {len(bob.accepted)}, again {again}")
    assert sum(again) <= KILLS
