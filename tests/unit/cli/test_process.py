"""The command line as a process of its own."""

import os
import resource
import signal
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "ironmesh"]
MAX_CPU_S = 0.10


def call(*arguments, **options):
    environment = {name: value for name, value in os.environ.items() if "IRONMESH" not in name}
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env=environment | options,
    )


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_version_costs_next_to_nothing():
    # Without the coverage hook that a measured environment starts in every process.
    times = []
    for _ in range(5):
        before = cpu_seconds()
        done = call("--version", COVERAGE_PROCESS_START="", COVERAGE_PROCESS_CONFIG="")
        times.append(cpu_seconds() - before)
        assert (done.returncode, done.stderr) == (0, "")
    assert min(times) < MAX_CPU_S


@pytest.mark.parametrize("arguments", [["--version"], []])
def test_what_needs_no_library_imports_none(arguments):
    program = (
        "import sys; from ironmesh.cli import main; main();"
        "assert not {'click', 'msgspec', 'asyncio', 'nacl', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        ([], 0),
        (["--help"], 0),
        (["peers", "--home", "/nonexistent"], 1),
        (["send", "bob", "hi", "--home", "/nonexistent"], 1),
        (["run", "--name", "a", "--home", "/nonexistent"], 1),
        (["run", "--name", "a/b"], 1),
        (["keys", "info", "--path", "/dev/zero"], 1),
        (["trust", "list", "--home", "/dev/null"], 1),
        (["run", "--passphrase", "x", "--name", "a"], 2),
        (["nonsense"], 2),
    ],
)
def test_exit_codes_and_never_a_traceback(arguments, code):
    done = call(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if code:
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_command_ends_with_130(tmp_path):
    from tests.support.fake_operator import ServedOperator

    with ServedOperator(tmp_path) as served:
        listening = subprocess.Popen(
            [*COMMAND, "listen", "--home", tmp_path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        served.publish()
        listening.send_signal(signal.SIGINT)
        out, err = listening.communicate(timeout=20)
    assert (listening.returncode, out) == (130, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["completion", "bash"]])
def test_a_reader_that_goes_away_ends_the_command_quietly(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("words", "found"),
    [("ironmesh tr", "trust"), ("ironmesh ", "run"), ("ironmesh send --p", "--priority")],
)
def test_the_shell_gets_completions(words, found):
    number = len(words.split(" ")) - 1
    done = call(_IRONMESH_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(number))
    assert done.returncode == 0
    assert found in done.stdout
