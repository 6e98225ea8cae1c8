"""The page on the control protocol shows what a node answers, for every call and parameter."""

import re

import msgspec
import pytest
from tests.support.control_page import BLOCK, PAGE, renewed

from ironmesh.control import protocol, server
from ironmesh.control.paths import MAX_SOCKET_PATH_BYTES
from ironmesh.control.protocol import CALLS


def section(name):
    text = PAGE.read_text(encoding="utf-8")
    match = re.search(rf"^### `{name}`\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert match, f"the page has no section on {name}"
    return match[1]


def test_the_examples_of_the_page_are_what_a_node_answers():
    text = PAGE.read_text(encoding="utf-8")
    assert renewed(text) == text, "run `python -m tests.support.control_page`"


def test_every_call_has_an_example():
    names = [match["name"] for match in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]
    assert set(names) == {*CALLS, "errors"}


@pytest.mark.parametrize("call", CALLS)
def test_every_parameter_is_told(call):
    for field in msgspec.structs.fields(CALLS[call][0]):
        assert field.encode_name in section(call)


def test_the_limits_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    for said in (
        f"At most {server.MAX_CLIENTS} clients",
        f"at most {protocol.MAX_LINE_BYTES >> 20} MiB",
        f"longer than {MAX_SOCKET_PATH_BYTES}\nbytes",
    ):
        assert said in text
