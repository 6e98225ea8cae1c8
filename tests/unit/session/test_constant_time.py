"""F076: what proves something is compared in constant time, never with `==`."""

import ast
import re
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parents[3] / "src" / "ironmesh"
_ROOMS = ("crypto", "session", "wire")
_SECRET = re.compile(r"proof|signature|mac$|secret|passphrase|binding|digest|^key$|_key$", re.I)
_MODULES = sorted(path for room in _ROOMS for path in (_SOURCE / room).rglob("*.py"))


def _names(node: ast.AST) -> set[str]:
    """Return the names that an operand is made of."""
    own = {node.id} if isinstance(node, ast.Name) else set()
    own |= {node.attr} if isinstance(node, ast.Attribute) else set()
    return own.union(*(_names(child) for child in ast.iter_child_nodes(node)))


def _is_plain(node: ast.AST) -> bool:
    """Tell whether an operand is no secret: a literal, or a length."""
    is_length = isinstance(node, ast.Call) and ast.unparse(node.func) == "len"
    return is_length or isinstance(node, ast.Constant)


def _suspects(tree: ast.AST) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(_is_plain(operand) for operand in (node.left, *node.comparators))
        and any(
            _SECRET.search(name)
            for operand in (node.left, *node.comparators)
            for name in _names(operand)
        )
    ]


@pytest.mark.parametrize("module", _MODULES, ids=lambda path: str(path.relative_to(_SOURCE)))
def test_nothing_that_proves_is_compared_with_equals(module: Path) -> None:
    assert _suspects(ast.parse(module.read_text(encoding="utf-8"))) == []


def test_the_search_finds_what_it_looks_for() -> None:
    for bad in ("given.proof == expected", "if mac != own_mac: pass", "a.session_key == b"):
        assert _suspects(ast.parse(bad)) == [1]
    for fine in ("len(signature) != SIZE", "proof == ''", "same(proof, expected)"):
        assert _suspects(ast.parse(fine)) == []
