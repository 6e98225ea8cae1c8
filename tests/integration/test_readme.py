"""The recipes of the README, run as they stand there."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from tests.support import readme
from tests.support.netns import Host
from tests.support.processes import Running, environment, run

ONLINE = r"Peer {} \([0-9a-f]{{8}}\.\.\.\) online -- ephemeral ECDH complete"


def shell(*marks: str, extra: str = "") -> list[str]:
    """Return a shell that runs the README's blocks; the last command takes its place."""
    commands = [command for mark in marks for command in readme.block(mark).commands()]
    if extra:
        commands.append(extra)
    commands[-1] = f"exec {commands[-1]}"
    return ["sh", "-euc", "\n".join(commands)]


def home_of(tmp_path: Path, name: str) -> Path:
    home = tmp_path / name
    home.mkdir()
    return home


def python(source: str) -> list[str]:
    return [sys.executable, "-W", "error", "-c", source]


@pytest.mark.netns
def test_the_two_machine_recipe_connects_over_tls_and_carries_a_message(
    two_hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    host_a, host_b = two_hosts
    env_a = environment(home_of(tmp_path, "a"))
    env_b = environment(home_of(tmp_path, "b"))
    run_a = shell("two-machines-both", "two-machines-a")
    run_b = shell("two-machines-both", "two-machines-b")
    with (
        Running(run_a, env=env_a, netns=host_a.name) as alice,
        Running(run_b, env=env_b, netns=host_b.name) as bob,
    ):
        alice.wait_line(ONLINE.format("bob"), timeout_s=10)
        bob.wait_line(ONLINE.format("alice"), timeout_s=10)
        with Running(["ironmesh", "listen", "--count", "1"], env=env_b) as listener:
            listener.wait_line("listening")
            run(shell("two-machines-send"), env=env_a).expect(0)
            listener.wait_line("hello from the Pi")
            listener.expect(0)
        peers = json.loads(run(["ironmesh", "peers", "--json"], env=env_a).expect(0).text)
        assert [(peer["name"], peer["is_encrypted"]) for peer in peers] == [("bob", True)]
        assert alice.terminate() < 1.5
        assert bob.terminate() < 1.5


@pytest.mark.netns
def test_the_three_node_recipe_routes_within_ten_seconds(one_host: Host, tmp_path: Path) -> None:
    env = environment(home_of(tmp_path, "home"))

    def node(letter: str) -> Running:
        argv = shell("three-nodes-all", f"three-nodes-{letter}")
        return Running(argv, env=env, netns=one_host.name)

    with node("a") as a, node("b") as b, node("c") as c:
        for one in (a, c):
            one.wait_line(ONLINE.format("node-b"), timeout_s=30)
        online = time.monotonic()
        carol = ["ironmesh", "listen", "--count", "1", "--name", "node-c"]
        routes = ["ironmesh", "routes", "--json", "--name", "node-a"]
        while True:
            known = json.loads(run(routes, env=env).expect(0).text)
            if [(one["name"], one["hops"]) for one in known] == [("node-b", 1), ("node-c", 2)]:
                break
            assert time.monotonic() - online < 10, known
            time.sleep(0.1)
        assert known[1]["next_hop"]["name"] == "node-b"
        with Running(carol, env=env) as listener:
            listener.wait_line("listening")
            said = run(shell("three-nodes-send"), env=env).expect(0).text
            listener.wait_line("node-a.*hello over b")
        assert "llm:llama3" in said
        assert "  2  node-c" in said
        assert "delivered" in said
        for one in (a, b, c):
            one.terminate()


@pytest.mark.netns
def test_the_same_machine_recipe_connects_two_identities(one_host: Host, tmp_path: Path) -> None:
    env = environment(home_of(tmp_path, "home"))
    run_a = shell("same-machine-both", "same-machine-a")
    run_b = shell("same-machine-both", "same-machine-b")
    with (
        Running(run_a, env=env, netns=one_host.name) as alice,
        Running(run_b, env=env, netns=one_host.name) as bob,
    ):
        for node, peer in ((alice, "bob"), (bob, "alice")):
            node.wait_line(ONLINE.format(peer), timeout_s=10)
            warnings = [line for line in node.lines if "INSECURE" in line]
            assert len(warnings) == 2, node.text
        peers = json.loads(
            run(["ironmesh", "peers", "--name", "alice", "--json"], env=env).expect(0).text
        )
        assert [(peer["name"], peer["is_encrypted"]) for peer in peers] == [("bob", False)]
        alice.terminate()
        bob.terminate()


@pytest.mark.netns
def test_three_lines_of_python_find_each_other_and_answer(
    two_hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    host_a, host_b = two_hosts
    snippet = readme.block("three-lines").text
    other = snippet.replace('"my-bot"', '"peer-name"').replace("agent.run() ", "agent.run(False) ")
    asker = (
        other
        + "import time\nwhile not agent.peer_by_name('my-bot'): time.sleep(0.02)\n"
        + readme.block("send-sync").text.replace('"peer-name"', '"my-bot"')
        + "input()\nagent.stop()\n"
    )
    with (
        Running(
            python(snippet), env=environment(home_of(tmp_path, "a")), netns=host_a.name
        ) as answering,
        Running(
            python(asker), env=environment(home_of(tmp_path, "b")), netns=host_b.name
        ) as asking,
    ):
        answering.wait_line(r"From [0-9a-f]{12}: hello", timeout_s=15)
        asking.wait_line(r"From [0-9a-f]{12}: ack", timeout_s=15)
        asking.write("\n")
        asking.expect(0)
        answering.terminate()


@pytest.mark.netns
def test_a_shell_command_answers_messages(one_host: Host, tmp_path: Path) -> None:
    env = environment(home_of(tmp_path, "home"))
    run_a = shell("same-machine-both", "same-machine-a")
    run_b = shell("same-machine-both", "same-machine-b")
    with (
        Running(run_a, env=env, netns=one_host.name) as alice,
        Running(run_b, env=env, netns=one_host.name) as bob,
    ):
        alice.wait_line(ONLINE.format("bob"), timeout_s=10)
        bob.wait_line(ONLINE.format("alice"), timeout_s=10)
        listen = ["ironmesh", "listen", "--name", "bob", "--count", "1"]
        with (
            Running(shell("shell-agent"), env=env) as agent,
            Running(listen, env=env) as listener,
        ):
            agent.wait_line("listening")
            listener.wait_line("listening")
            run(["ironmesh", "send", "--name", "bob", "alice", "shout this"], env=env).expect(0)
            listener.wait_line("SHOUT THIS")
