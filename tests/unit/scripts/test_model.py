"""The runner believes no search of a model that was cut short, and leaves out every check once."""

from __future__ import annotations

import pytest
from scripts import model
from scripts.model import CASES, Case, Expected, Search, complaint, read_search

MODELS = sorted({case.model for case in CASES})
COMPLETE = """
(Spin Version 6.5.2 -- 6 December 2019)
Full statespace search for:
State-vector 204 byte, depth reached 81, errors: 0
      652 states, stored
"""
REFUTED = """
pan:1: assertion violated  !((violated&watched)) (at depth 78)
Warning: Search not completed
State-vector 204 byte, depth reached 81, errors: 1
       93 states, stored
"""


def names(of: str, prefix: str) -> set[str]:
    return {name for name in model.switches(of) if name.startswith(prefix)}


@pytest.mark.parametrize("of", MODELS)
def test_every_check_is_left_out_and_something_then_breaks_or_is_said_to_hold(of: str) -> None:
    left_out = {case.without for case in CASES if case.model == of and case.without}
    assert left_out == names(of, "NO_")
    spare = {case.without for case in CASES if case.model == of and case.without} - {
        case.without for case in CASES if case.model == of and case.expected is Expected.BROKEN
    }
    assert spare == ({"NO_ROLE", "NO_REFLECTED"} if of == "handshake" else set())


@pytest.mark.parametrize("of", MODELS)
def test_every_property_holds_with_all_checks_and_breaks_without_some_check(of: str) -> None:
    broken = {
        case.watched for case in CASES if case.model == of and case.expected is Expected.BROKEN
    }
    assert broken == set(model.properties(of))
    assert any(
        case.model == of and case.expected is Expected.HOLDS and not case.without for case in CASES
    )


@pytest.mark.parametrize("of", MODELS)
def test_every_claim_that_honest_ends_never_get_through_is_to_be_refuted(of: str) -> None:
    refuted = {
        case.watched for case in CASES if case.model == of and case.expected is Expected.REACHED
    }
    assert refuted == names(of, "NEVER_")


def test_every_scene_of_the_handshake_is_searched_with_all_checks_and_can_end_well() -> None:
    scenes = {name.removeprefix("SCENE_") for name in names("handshake", "SCENE_")}
    for expected in (Expected.HOLDS, Expected.REACHED):
        assert scenes == {
            case.scene
            for case in CASES
            if case.model == "handshake" and case.expected is expected and not case.without
        }


@pytest.mark.parametrize("of", MODELS)
def test_numbers_of_a_kind_differ_and_each_property_is_one_bit(of: str) -> None:
    known = model.switches(of)
    for prefix in ("NO_", "SCENE_"):
        numbers = [known[name][0] for name in names(of, prefix)]
        assert len(numbers) == len(set(numbers))
    bits = [known[name][0] for name in (*model.properties(of), *names(of, "NEVER_"))]
    assert sum(bits) == 2 ** len(bits) - 1
    assert all(bit & (bit - 1) == 0 for bit in bits)


def test_names_of_cases_tell_them_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_search_is_told_scene_powers_what_is_left_out_and_what_to_watch() -> None:
    known = {name: str(number) for name, (number, _) in model.switches("handshake").items()}
    case = Case("handshake", "PAIR", Expected.BROKEN, "SECRECY", "NO_TRANSCRIPT", ("INSIDER",))
    assert model.environment(case) == {
        "SCENE": known["SCENE_PAIR"],
        "POWERS": known["INSIDER"],
        "WITHOUT": known["NO_TRANSCRIPT"],
        "WATCHED": known["SECRECY"],
    }


def test_with_all_checks_every_property_is_watched_and_no_claim_that_must_fail() -> None:
    known = model.switches("handshake")
    told = model.environment(Case("handshake", "PAIR", Expected.HOLDS))
    assert told["WITHOUT"] == "0"
    watched = int(told["WATCHED"])
    assert all(watched & known[name][0] for name in model.properties("handshake"))
    assert not any(watched & known[name][0] for name in names("handshake", "NEVER_"))


def test_a_search_that_was_completed_or_found_something_is_believed() -> None:
    assert read_search(COMPLETE) == Search(False, "652")
    assert read_search(REFUTED) == Search(True, "93")


@pytest.mark.parametrize(
    "output",
    [
        "",
        "sh: pan: killed\n",
        "error: max search depth too small\n" + COMPLETE,
        "pan: out of memory\n" + COMPLETE,
        "pan: reached -DMEMLIM bound\n" + COMPLETE,
        "Warning: Search not completed\n" + COMPLETE,
        REFUTED.replace("!((violated&watched))", "(sent<4)"),
        "error: max search depth too small\n" + REFUTED,
    ],
    ids=["nothing", "killed", "depth", "memory", "limit", "stopped", "other error", "both"],
)
def test_a_search_that_was_cut_short_or_failed_otherwise_is_not_believed(output: str) -> None:
    search = read_search(output)
    assert search.trouble
    for expected in Expected:
        assert complaint(Case("handshake", "PAIR", expected), search) == search.trouble


@pytest.mark.parametrize(
    ("expected", "is_refuted", "words"),
    [
        (Expected.HOLDS, False, ""),
        (Expected.HOLDS, True, "does not hold"),
        (Expected.BROKEN, True, ""),
        (Expected.BROKEN, False, "does not bite"),
        (Expected.REACHED, True, ""),
        (Expected.REACHED, False, "never get through"),
    ],
)
def test_a_case_must_end_as_expected(expected: Expected, is_refuted: bool, words: str) -> None:
    wrong = complaint(Case("handshake", "PAIR", expected), Search(is_refuted, "1"))
    assert (words in wrong) if words else wrong == ""


@pytest.mark.parametrize(("ci", "code"), [("", model.SKIPPED), ("true", 1)])
def test_without_spin_nothing_is_checked_and_that_is_said_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(model.shutil, "which", lambda tool: None if tool == "spin" else tool)
    assert model.main([]) == code
    assert "needs spin (make system)" in capsys.readouterr().out


def test_no_case_of_that_name_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.shutil, "which", lambda tool: tool)
    assert model.main(["--only", "no such case"]) == 1
