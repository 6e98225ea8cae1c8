"""`ironmesh demo` on a machine with nothing but a loopback."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from pathlib import Path

import pytest
from tests.support.netns import Host
from tests.support.pace import assert_takes_less_than
from tests.support.processes import OURS, environment, run

pytestmark = pytest.mark.netns

LIMIT_S = 4.0
STEPS = ["prepared", "listening", "listening", "online", "message", "answer", "stopped"]


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir(mode=0o700)
    return made


def contents(home: Path) -> dict[str, tuple[int, int, str]]:
    """Return mode, time of change and digest of all that is in a folder."""
    return {
        str(path.relative_to(home)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(home.rglob("*"))
    }


@pytest.mark.timed
def test_two_nodes_find_each_other_and_answer_within_seconds(
    one_host: Host, tmp_path: Path
) -> None:
    env = environment(folder(tmp_path, "home"))
    output: list[str] = []

    def demo() -> float:
        start = time.monotonic()
        output[:] = run([*OURS, "demo", "--json"], env=env, netns=one_host.name, timeout_s=30).out
        return time.monotonic() - start

    assert_takes_less_than(LIMIT_S, demo)
    told = json.loads(output[0])
    assert told["ok"] is True
    steps = {step["step"]: step for step in told["steps"]}
    assert [step["step"] for step in told["steps"]] == STEPS
    times = [step["at_ms"] for step in told["steps"]]
    assert times == sorted(times)
    assert 0 < steps["answer"]["round_trip_ms"] < 1000
    ids = {step["node_id"] for step in told["steps"] if step["step"] == "listening"}
    assert len(ids) == 2


def test_people_see_each_step_with_its_time_and_nothing_else(
    one_host: Host, tmp_path: Path
) -> None:
    done = run(
        [*OURS, "demo"],
        env=environment(folder(tmp_path, "home")),
        netns=one_host.name,
        timeout_s=30,
    )
    assert done.err == []
    assert len(done.out) == len(STEPS)
    for line, what in zip(
        done.out,
        ("identities", "(wss)", "(wss)", "hands", "hear me?", "clear", "goodbye"),
        strict=True,
    ):
        assert line.split()[1] == "ms"
        assert what.lower() in line.lower()


@pytest.mark.parametrize("has_nodes", [False, True])
def test_the_home_and_the_temporary_folder_stay_as_they_were(
    one_host: Host, tmp_path: Path, has_nodes: bool
) -> None:
    home = folder(tmp_path, "home")
    if has_nodes:
        for name in ("keys.json", "known_peers.json", "nodes/alice/keys.json"):
            path = home / ".ironmesh" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    before = contents(home)
    # A folder of pytest's own has a name too long for a socket in it.
    with tempfile.TemporaryDirectory(prefix="t-") as temporary:
        env = environment(home, TMPDIR=temporary)
        run([*OURS, "demo"], env=env, netns=one_host.name, timeout_s=30)
        assert contents(Path(temporary)) == {}
    assert contents(home) == before


def test_settings_for_other_nodes_do_not_reach_the_demo(one_host: Host, tmp_path: Path) -> None:
    home = folder(tmp_path, "home")
    env = environment(
        home, IRONMESH_PORT="1", IRONMESH_PASSPHRASE="short", IRONMESH_KEYS_PATH="/dev/null"
    )
    run([*OURS, "demo"], env=env, netns=one_host.name, timeout_s=30)
    assert contents(home) == {}
