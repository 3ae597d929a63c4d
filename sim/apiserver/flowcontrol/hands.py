"""Shuffle sharding: which few of a level's queues a flow may use.

A flow is what a FlowSchema's name and its distinguisher (user, namespace or nothing) identify. Its hash deals it a
hand of distinct queues, always the same one; two flows rarely hold the same hand, so one that floods all its queues
leaves most others at least one that it does not sit in.

Source: k8s.io/apiserver v0.35.0, pkg/util/shufflesharding/shufflesharding.go; pkg/util/flowcontrol/apf_controller.go
(hashFlowID).
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import Final

MAX_HASH_BITS: Final = 60
"""Bits of the hash that may be used up, so that the last card is dealt almost evenly (MaxHashBits)."""
_MAX_DECK: Final = 1 << 26


def flow_hash(schema: str, distinguisher: str = "") -> int:
    """The 64 bits that stand for a flow: the first 8 bytes, little endian, of SHA-256 over both names with a NUL between."""
    return int.from_bytes(sha256(f"{schema}\0{distinguisher}".encode()).digest()[:8], "little")


def check_deck(deck_size: int, hand_size: int) -> None:
    """Raises ValueError where NewDealer refuses: no cards, a hand larger than the deck, or more than 60 bits needed."""
    if not 0 < hand_size <= deck_size <= _MAX_DECK:
        raise ValueError(f"a hand of {hand_size} from {deck_size} queues; allowed: 1 <= hand <= queues <= {_MAX_DECK}")
    bits = math.ceil(math.log2(deck_size) * hand_size)
    if bits > MAX_HASH_BITS:
        raise ValueError(f"a hand of {hand_size} from {deck_size} queues takes {bits} bits of hash; allowed: {MAX_HASH_BITS}")


def deal(hash_value: int, deck_size: int, hand_size: int) -> tuple[int, ...]:
    """`hand_size` distinct cards out of 0 .. deck_size - 1, in the order they are dealt (Dealer.Deal).

    The hash is read as a number of mixed base: the i-th digit says which of the cards still in the deck comes next.
    Raises ValueError as `check_deck`.
    """
    check_deck(deck_size, hand_size)
    digits: list[int] = []
    hand: list[int] = []
    for dealt in range(hand_size):
        hash_value, card = divmod(hash_value, deck_size - dealt)
        digits.append(card)
        for earlier in reversed(digits[:-1]):
            card += card >= earlier
        hand.append(card)
    return tuple(hand)
