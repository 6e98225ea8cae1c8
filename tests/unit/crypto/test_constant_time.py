"""Secrets and proofs are compared in constant time everywhere (F076): the code is read for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ironmesh

SOURCES = sorted(Path(ironmesh.__file__).parent.rglob("*.py"))
SECRET_WORDS = {"hmac", "mac", "passphrase", "proof", "secret", "seed", "tag", "token"}


def words_of(node: ast.expr) -> set[str]:
    """The words of the name of a value: `self._server_proof` and `proof(...)` have `proof`.

    Constants in capitals are lengths and names, never secrets.
    """
    match node:
        case ast.Call(func=function):
            return words_of(function)
        case ast.Attribute(attr=name) | ast.Name(id=name) if not name.isupper():
            return set(name.lower().split("_"))
        case _:
            return set()


def plain_comparisons(source: str) -> list[int]:
    """Lines in which `==` or `!=` compares something secret with anything but a constant."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(isinstance(side, ast.Constant) for side in (node.left, *node.comparators))
        and any(words_of(side) & SECRET_WORDS for side in (node.left, *node.comparators))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_secret_is_compared_with_an_equals_sign(path: Path) -> None:
    assert plain_comparisons(path.read_text(encoding="utf-8")) == []


def test_the_reader_sees_what_it_looks_for() -> None:
    assert plain_comparisons("if self._server_proof != given: pass") == [1]
    assert plain_comparisons("ok = proof(a, b) == given") == [1]
    assert plain_comparisons("ok = len(seed) == SEED_BYTES") == []
    assert plain_comparisons("ok = passphrase == ''") == []
    assert plain_comparisons("ok = same(proof, given)") == []
