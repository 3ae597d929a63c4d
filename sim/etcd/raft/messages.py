"""What members say to each other about who leads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """Kinds of messages, by raft's names for them."""

    HEARTBEAT = auto()
    """Also stands for MsgApp: both tell a member that its leader is there."""
    HEARTBEAT_RESP = auto()
    PRE_VOTE = auto()
    PRE_VOTE_RESP = auto()
    VOTE = auto()
    VOTE_RESP = auto()
    APP_RESP = auto()
    """To somebody who acts as leader in a term that is over: it learns of the newer one."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The end of a log: term of its last entry, and where that is. Logs are compared by it."""

    term: int
    index: int


@dataclass(frozen=True, slots=True)
class Message:
    """term: that of the sender, or the one a candidate asks for. last: the end of a candidate's log. reject: a vote is refused."""

    kind: Kind
    sender: str
    to: str
    term: int
    last: Position | None = None
    reject: bool = False
