"""What goes wrong in `chaos`, and when: drawn from a seed, so that it can be had again. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

KILLED = (
    "api-server",
    "dag-processor",
    "redis",
    "scheduler",
    "scheduler-2",
    "triggerer",
    "triggerer-2",
    "worker",
)
TRIGGERERS = ("triggerer", "triggerer-2")
CLOCKED = "triggerer-3"
DATABASE, SINK, LOGS = "PostgreSQL", "the sink", "the logs"
_KILLS_PER_DISASTER = 20


_WORDS = {
    "kill": "{target} is killed",
    "restart": "{target} is restarted",
    "away": "{target} is away",
    "refuse": "{target} refuses connections",
    "hang": "{target} leaves calls unanswered",
    "disk": "the disk of {target} is full",
    "freeze": "{target} is frozen",
    "clock": "the clock of {target} is off by {amount:+d} s",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, `at` so many seconds after the beginning, to whom, and for how long, where it lasts."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    amount: int = 0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:g} s" if self.seconds else ""
        return _WORDS[self.kind].format(target=self.target, amount=self.amount) + lasting


def plan(seed: int, kills: int, seconds: float) -> list[Fault]:
    """`kills` kills spread over the time, and among them every other fault: once, or once per twenty kills.

    Each component is killed before one is killed again.
    """
    dice = random.Random(seed)
    drawn = [Fault(0.0, "kill", target) for target in _victims(dice, kills)]
    for _ in range(max(1, kills // _KILLS_PER_DISASTER)):
        drawn += _disasters(dice)
    dice.shuffle(drawn)
    gap = seconds / max(len(drawn), 1)
    return [replace(fault, at=round((place + dice.uniform(0.0, 0.8)) * gap, 1)) for place, fault in enumerate(drawn)]


def _victims(dice: random.Random, kills: int) -> list[str]:
    """Triggerers twice as often as the others: they are who sends."""
    victims: list[str] = []
    while len(victims) < kills:
        one_round = [*KILLED, *TRIGGERERS]
        dice.shuffle(one_round)
        victims += one_round
    return victims[:kills]


def _disasters(dice: random.Random) -> list[Fault]:
    return [
        Fault(0.0, "restart", DATABASE),
        Fault(0.0, "away", DATABASE, 20.0),
        Fault(0.0, "refuse", SINK, float(dice.randint(4, 8))),
        Fault(0.0, "hang", SINK, float(dice.randint(4, 8))),
        Fault(0.0, "disk", LOGS, float(dice.randint(8, 15))),
        Fault(0.0, "freeze", dice.choice(TRIGGERERS), float(dice.randint(14, 20))),  # its lease is 8 s
        Fault(0.0, "clock", CLOCKED, 12.0, dice.choice((-90, -20, 5, 20, 90))),
    ]
