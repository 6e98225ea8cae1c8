"""The exchanges of `docs/control.md`, run; `python -m tests.support.control_page` writes them.

<!-- call: state -->
```text
-> {"v":1,"id":1,"call":"state"}
<- {"id":1,"result":{...}}
```
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.fake_operator import BOB, FakeOperator, ServedOperator, message
from tests.support.readme import ROOT

from ironmesh.control.api import HistoryView, OutboxDetail, PeerEvent, SettledEvent
from ironmesh.types import MessagePriority

PAGE: Final = ROOT / "docs" / "control.md"
BLOCK: Final = re.compile(
    r"(?P<head><!-- call: (?P<name>\w+) -->\n```text\n)(?P<body>.*?)(?=```)", re.DOTALL
)
WIDTH: Final = 100
MESSAGE_ID: Final = "00000000-0000-0000-0000-000000000007"


def renewed(text: str) -> str:
    """Return the page with what a node answers now; the exchanges are one session."""
    with tempfile.TemporaryDirectory(prefix="c-") as home, ServedOperator(Path(home)) as served:
        _prepare(served.operator)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.settimeout(10)
            end.connect(str(served.path))
            lines = end.makefile("rb")

            def run(match: re.Match[str]) -> str:
                shown = list(_exchanges(match["body"], end, lines.readline))
                if match["name"] == "subscribe":
                    shown += _events(served, lines.readline)
                return match["head"] + "\n".join(shown) + "\n"

            try:
                return BLOCK.sub(run, text)
            finally:
                lines.close()


def _exchanges(body: str, end: socket.socket, read: Callable[[], bytes]) -> Iterator[str]:
    for line in body.splitlines():
        if line.startswith("-> "):
            yield line
            end.sendall(line.removeprefix("-> ").encode() + b"\n")
            yield _shown(read())


def _events(served: ServedOperator, read: Callable[[], bytes]) -> list[str]:
    served.publish(
        message(b"hello"),
        SettledEvent(ids=(MESSAGE_ID,), peer=BOB, state="delivered"),
        PeerEvent(node_id=BOB, name="bob", is_online=False, reason="the peer said goodbye"),
    )
    return [_shown(read()) for _ in range(3)]


def _shown(line: bytes) -> str:
    answer = json.loads(line)
    short = json.dumps(answer, ensure_ascii=False)
    return "<- " + (short if len(short) <= WIDTH else json.dumps(answer, indent=2))


def _prepare(operator: FakeOperator) -> None:
    common = {"node_id": BOB, "name": "bob", "type": "MSG", "priority": MessagePriority.NORMAL}
    operator.outbox[MESSAGE_ID] = OutboxDetail(
        id=MESSAGE_ID,
        size_bytes=5,
        state="queued",
        accepted_at=1_700_000_000.0,
        expires_at=1_700_086_400.0,
        attempts=1,
        payload=b"hello",
        **common,
    )
    operator.past.append(
        HistoryView(
            direction="received",
            id="00000000-0000-0000-0000-000000000003",
            size_bytes=2,
            at=1_700_000_100.0,
            state="handled",
            **common,
        )
    )


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
