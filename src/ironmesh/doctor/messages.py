"""The message store: whether SQLite finds it whole."""

from __future__ import annotations

import contextlib
import sqlite3

from ironmesh.config import NodeConfig
from ironmesh.doctor.finding import Finding, fail, ok, skip
from ironmesh.errors import StoreError
from ironmesh.store.database.faults import translated
from ironmesh.store.database.opening import open_for_reading
from ironmesh.store.database.store import DATABASE


def check_store(config: NodeConfig) -> Finding:
    """Look whether the database of messages is whole; its writer may be at work."""
    path = config.store_dir / DATABASE
    if not path.exists():
        return skip("store", "no message store yet: the first start makes it")
    try:
        with contextlib.closing(open_for_reading(path)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA quick_check(1)")]
    except sqlite3.Error as error:
        refused = translated(error, path)
        return fail("store", refused.what, refused.fix)
    except StoreError as error:
        return fail("store", error.what, error.fix)
    if found != ["ok"]:
        return fail(
            "store",
            f"the message store {path} is damaged ({found[0]})",
            f"put back a copy of {config.store_dir}, or move it away to start with an empty one",
        )
    return ok("store", f"{path} is whole")
