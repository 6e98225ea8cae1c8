"""The CONV envelope: one turn of a conversation between two agents (wire specification 7).

Turn, time and byte caps are stated here and kept by the application that leads the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from ironmesh.errors import EnvelopeError
from ironmesh.wire import json_text

VERSION: Final = 1
MAX_ENVELOPE_BYTES: Final = 1_048_576
KINDS: Final = ("prompt", "response", "end", "error")
END_REASONS: Final = ("turn-limit", "goal-achieved", "budget-exceeded", "error")
"""What this package writes; a peer may state another reason."""

_TERMINAL: Final = frozenset({"end", "error"})
_COUNTS: Final = ("turn", "max_turns")
_LABELS: Final = ("reply_to", "from_role", "to_role", "end_reason")
_MEMBERS: Final = frozenset({"v", "conv_id", *_COUNTS, "kind", "body", *_LABELS, "budget"})


@dataclass(frozen=True, slots=True)
class Budget:
    """What a whole conversation may cost; None = no limit."""

    max_seconds: float | None = None
    max_tokens: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.max_seconds is not None and not _is_number(self.max_seconds):
            raise EnvelopeError("budget.max_seconds is not a number >= 0")
        for name in ("max_tokens", "max_bytes"):
            limit = getattr(self, name)
            if limit is not None and not _is_count(limit):
                raise EnvelopeError(f"budget.{name} is not an integer >= 0")

    def to_dict(self) -> dict[str, float | int]:
        """Return the limits that are set, by name."""
        limits = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @classmethod
    def from_dict(cls, value: object) -> Budget | None:
        """Return the budget that `value` states; None if it is no mapping or an empty one.

        Raises:
            EnvelopeError: a limit is not a number >= 0.
        """
        if not isinstance(value, Mapping) or not value:
            return None
        return cls(*(value.get(item.name) for item in fields(cls)))


@dataclass(frozen=True, slots=True)
class ConvEnvelope:
    """One turn of a conversation.

    Args:
        conv_id: names the conversation; not empty.
        turn: counts from 0.
        max_turns: the cap; 0 = none.
        kind: `prompt`, `response`, `end` or `error`.
        extra: members of the JSON object that this version does not know; they survive.

    Raises:
        EnvelopeError: a value is of the wrong type or range.
    """

    conv_id: str
    turn: int = 0
    max_turns: int = 0
    kind: str = "prompt"
    body: str = ""
    reply_to: str = ""
    from_role: str = ""
    to_role: str = ""
    budget: Budget | None = None
    end_reason: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("conv_id", "body", *_LABELS):
            if not isinstance(getattr(self, name), str):
                raise EnvelopeError(f"{name} is not a string")
        if not self.conv_id:
            raise EnvelopeError("conv_id is empty")
        if self.kind not in KINDS:
            raise EnvelopeError("the kind is unknown", f"use one of {', '.join(KINDS)}")
        for name in _COUNTS:
            if not _is_count(getattr(self, name)):
                raise EnvelopeError(f"{name} is not an integer >= 0")
        if _MEMBERS & self.extra.keys():
            raise EnvelopeError("extra repeats a member of the envelope", "set the field instead")

    def encode(self) -> bytes:
        """Return the payload of a CONV message: compact JSON, at most 1 MiB.

        Raises:
            EnvelopeError: too large, or `extra` holds what JSON cannot.
        """
        members: dict[str, Any] = {
            "v": VERSION,
            "conv_id": self.conv_id,
            "turn": self.turn,
            "max_turns": self.max_turns,
            "kind": self.kind,
            "body": self.body,
            "reply_to": self.reply_to,
            "from_role": self.from_role,
            "to_role": self.to_role,
            "budget": self.budget.to_dict() if self.budget else None,
            "end_reason": self.end_reason,
        }
        for name in (*_LABELS, "budget"):
            if not members[name]:
                del members[name]
        try:
            data = json_text.compact(members | self.extra)
        except ValueError as error:
            raise EnvelopeError("the envelope does not go into JSON") from error
        if len(data) > MAX_ENVELOPE_BYTES:
            raise EnvelopeError(
                f"the envelope is longer than {MAX_ENVELOPE_BYTES} bytes", "send a shorter body"
            )
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the envelope in the payload of a CONV message.

        Raises:
            EnvelopeError: not UTF-8 JSON, no object, over 1 MiB or 64 levels, or a bad member.
        """
        try:
            members = json_text.parse_object(data, max_bytes=MAX_ENVELOPE_BYTES)
        except ValueError as error:
            raise EnvelopeError("not a CONV envelope") from error
        known = {name: members[name] for name in _MEMBERS & members.keys() - {"v", *_LABELS}}
        known |= {name: members[name] for name in _LABELS if members.get(name) is not None}
        known["conv_id"] = members.get("conv_id", "")
        known["budget"] = Budget.from_dict(members.get("budget"))
        extra = {name: value for name, value in members.items() if name not in _MEMBERS}
        return cls(**known, extra=extra)


def make_reply(
    parent: ConvEnvelope,
    body: str,
    *,
    kind: str = "response",
    from_role: str = "",
    reply_to: str = "",
    end_reason: str = "",
) -> ConvEnvelope:
    """Return the next turn after `parent`: same conversation, caps and budget, roles swapped.

    Args:
        from_role: the role that answers; the parent's `to_role` if empty.
        reply_to: id of the message that is answered.
    """
    return ConvEnvelope(
        conv_id=parent.conv_id,
        turn=parent.turn + 1,
        max_turns=parent.max_turns,
        kind=kind,
        body=body,
        reply_to=reply_to,
        from_role=from_role or parent.to_role,
        to_role=parent.from_role,
        budget=parent.budget,
        end_reason=end_reason,
    )


def is_terminal(envelope: ConvEnvelope) -> bool:
    """Tell whether `envelope` ends its conversation."""
    return envelope.kind in _TERMINAL


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e300
