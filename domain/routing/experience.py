"""What past cases teach of the next: how long they take, at whose hands, and how soon such customers give up waiting.

Means of a kind (channel and intent), and ratios to them: of an agent, their pace; of a known customer, the length of
what they come with. All are shrunk, so that a few cases move little: the work of a kind toward its usual time, an agent
and a customer toward 1, a kind's rate of giving up toward its channel's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

# What each prior is worth, in cases; customers who gave up for the last one.
_USUAL_CASES: Final = 10
_PACE_CASES: Final = 50
_LENGTH_CASES: Final = 12
_GAVE_UP: Final = 5
_LONGEST: Final = timedelta(hours=2)
"""Who seems to work on one case for longer has forgotten to close it."""

_Kind = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class PastCase:
    """A case that ended: `wait` until somebody took it or it was given up, `work` in hand, None when it never was."""

    channel: str
    intent: str | None
    customer_id: str | None
    wait: timedelta
    work: timedelta | None = None
    agent_id: str | None = None


@dataclass(slots=True)
class _Sum:
    cases: int = 0
    amount: float = 0.0

    def add(self, amount: float) -> None:
        self.cases += 1
        self.amount += amount


@dataclass(frozen=True, slots=True)
class Experience:
    """Work in seconds by kind, the ratio to it by agent and by customer, and the mean wait per one who gave up."""

    _work: Mapping[_Kind, _Sum] = field(default_factory=dict)
    _work_of_channel: Mapping[str, timedelta] = field(default_factory=dict)
    _paces: Mapping[str, float] = field(default_factory=dict)
    _lengths: Mapping[str, float] = field(default_factory=dict)
    _patience: Mapping[_Kind, timedelta] = field(default_factory=dict)
    _patience_of_channel: Mapping[str, timedelta] = field(default_factory=dict)

    @classmethod
    def of(cls, cases: Iterable[PastCase]) -> "Experience":
        """Cases without work count as given up."""
        work: dict[_Kind, _Sum] = {}
        waited: dict[_Kind, _Sum] = {}
        gave_up: dict[_Kind, int] = {}
        done: list[tuple[_Kind, float, PastCase]] = []
        for case in cases:
            kind = (case.channel, case.intent)
            waited.setdefault(kind, _Sum()).add(case.wait.total_seconds())
            if case.work is None:
                gave_up[kind] = gave_up.get(kind, 0) + 1
            else:
                seconds = min(case.work, _LONGEST).total_seconds()
                work.setdefault(kind, _Sum()).add(seconds)
                done.append((kind, seconds, case))
        of_agent: dict[str, _Sum] = {}
        of_customer: dict[str, _Sum] = {}
        for kind, seconds, case in done:
            ratio = seconds / max(work[kind].amount / work[kind].cases, 1.0)
            for ratios, name in ((of_agent, case.agent_id), (of_customer, case.customer_id)):
                if name is not None:
                    ratios.setdefault(name, _Sum()).add(ratio)
        paces, lengths = _ratios(of_agent, _PACE_CASES), _ratios(of_customer, _LENGTH_CASES)
        return cls(work, _of_channels(work), paces, lengths, *_patience(waited, gave_up))

    def work(
        self, channel: str, intent: str | None, customer_id: str | None, usual: timedelta | None
    ) -> timedelta | None:
        """The work to expect of such a case, in whole seconds; `usual` is what is thought of its kind before any.

        Without it the mean of the channel stands in; None where nothing is known.
        """
        usual = self._work_of_channel.get(channel) if usual is None else usual
        if usual is None:
            return None
        known = self._work.get((channel, intent), _Sum())
        seconds = (known.amount + _USUAL_CASES * usual.total_seconds()) / (known.cases + _USUAL_CASES)
        return timedelta(seconds=round(seconds * self._lengths.get(customer_id or "", 1.0)))

    def pace(self, agent_id: str) -> float:
        """The time the agent takes over that of everybody on the same kinds; 1 of who is not known."""
        return self._paces.get(agent_id, 1.0)

    def patience(self, channel: str, intent: str | None) -> timedelta | None:
        """After how long such customers give up in the mean; None where too few ever did on the channel."""
        return self._patience.get((channel, intent), self._patience_of_channel.get(channel))


NOTHING_EXPERIENCED: Final = Experience()


def _of_channels(work: Mapping[_Kind, _Sum]) -> dict[str, timedelta]:
    sums: dict[str, _Sum] = {}
    for (channel, _), one in work.items():
        of_channel = sums.setdefault(channel, _Sum())
        of_channel.cases += one.cases
        of_channel.amount += one.amount
    return {channel: timedelta(seconds=one.amount / one.cases) for channel, one in sums.items()}


def _ratios(sums: Mapping[str, _Sum], prior: int) -> dict[str, float]:
    return {name: (one.amount + prior) / (one.cases + prior) for name, one in sorted(sums.items())}


def _patience(
    waited: Mapping[_Kind, _Sum], gave_up: Mapping[_Kind, int]
) -> tuple[dict[_Kind, timedelta], dict[str, timedelta]]:
    """Of kinds, and of the channels on which enough gave up to say anything."""
    of_kind: dict[_Kind, timedelta] = {}
    of_channel: dict[str, timedelta] = {}
    for channel in sorted({channel for channel, _ in waited}):
        kinds = [kind for kind in waited if kind[0] == channel]
        lost = sum(gave_up.get(kind, 0) for kind in kinds)
        if lost < _GAVE_UP:
            continue
        mean = sum(waited[kind].amount for kind in kinds) / lost
        of_channel[channel] = timedelta(seconds=mean)
        for kind in kinds:
            seconds = (waited[kind].amount + _GAVE_UP * mean) / (gave_up.get(kind, 0) + _GAVE_UP)
            of_kind[kind] = timedelta(seconds=seconds)
    return of_kind, of_channel
