"""Writes audit events with the node's clock; a full disk is told once and stops nothing."""

from __future__ import annotations

import logging

from ironmesh.audit.chain import Detail
from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import AuditLog
from ironmesh.errors import AuditError
from ironmesh.node.clock import Clock
from ironmesh.observe.counters import Counters

_log = logging.getLogger("ironmesh.node")


class Journal:
    """The audit log as the parts of a node use it."""

    def __init__(self, audit: AuditLog, clock: Clock, counters: Counters) -> None:
        self._audit = audit
        self._clock = clock
        self._counters = counters

    def record(self, event: AuditEvent, **details: Detail) -> None:
        """Append one event; details hold no secrets and no payloads."""
        try:
            self._audit.log(event, self._clock.now(), **details)
        except AuditError as error:
            self._counters.add("audit_errors")
            _log.error("an audit event is lost: %s", error)

    def flush(self) -> None:
        """Bring to disk what was put off."""
        try:
            self._audit.flush(self._clock.now())
        except AuditError as error:
            _log.error("the audit log was not flushed: %s", error)

    def close(self) -> None:
        """Write what is outstanding."""
        try:
            self._audit.close(self._clock.now())
        except AuditError as error:
            _log.error("the audit log was not closed: %s", error)
