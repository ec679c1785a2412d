"""The records of the KPIs, folded from the log of what happened and from nothing else.

The report of the tables and that of the log must be the same: what a table says and the log does not, nobody could
explain. Each line of a conversation may carry the record that its step left: assignments begun and ended, clocks that
came to a verdict, the resolution.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.channels import Channel
from domain.kpis.records import EndedClock, EpisodeRecord, HandledSpan, Opening
from domain.sla.clock import ClockState
from domain.sla.policy import Metric

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_COUNTED = {
    "offered": "offers",
    "offer_declined": "declines",
    "offer_timed_out": "timeouts",
    "rerouted": "reroutes",
    "transferred": "transfers",
}
_ABSORBED = ("offers", "declines", "timeouts", "reroutes", "transfers", "misroutes")
_OF_NO_CUSTOMER = frozenset({"spam", "bounce_storm"})
"""Episodes that ended so served nobody and count in no measure."""
_ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event, in the order of the log."""

    at: datetime
    kind: str
    conversation_id: str | None
    customer_id: str | None
    episode: int
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LogRecords:
    """`unforeseen` are the handled spans that no routing decision had a match for."""

    episodes: tuple[EpisodeRecord, ...]
    openings: tuple[Opening, ...]
    handled: tuple[HandledSpan, ...]
    unforeseen: tuple[HandledSpan, ...]


@dataclass(slots=True)
class _Assignment:
    agent_id: str
    pool: str
    episode: int
    units: int
    match: float | None
    is_touch: bool
    full_history: bool
    started_at: datetime
    ended_at: datetime | None


@dataclass(slots=True)
class _Written:
    """An inbound message: where and on which thread it is, and when it came."""

    conversation_id: str
    thread_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class _Loser:
    """A conversation that became part of another one in this episode of its own."""

    conversation_id: str
    episode: int


@dataclass(slots=True)
class _Story:
    """One conversation as its lines tell it; what belongs to an episode is kept by the episode's number."""

    customer_id: str = ""
    opened_at: datetime | None = None
    intent: str | None = None
    newest_episode: int = 1
    reopened_at: dict[int, datetime] = field(default_factory=dict)
    counts: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    assignments: dict[str, _Assignment] = field(default_factory=dict)
    clocks: dict[tuple[int, str, int], EndedClock] = field(default_factory=dict)
    resolutions: dict[int, dict[str, Json]] = field(default_factory=dict)
    answers: dict[int, int | None] = field(default_factory=dict)
    inbound: list[datetime] = field(default_factory=list)
    merged_into: str | None = None


def records_from_log(lines: Iterable[LogLine], now: datetime) -> LogRecords:
    """Fold the log; what has not ended counts until `now`."""
    stories: defaultdict[str, _Story] = defaultdict(_Story)
    suggested_in: dict[str, Counter[str]] = {}
    written: dict[str, _Written] = {}
    losers: dict[str, _Loser] = {}
    for line in lines:
        _place(line, written)
        _merge(stories, line, losers)
        _part(stories, line, losers, written)
        _link(stories, line)
        if line.conversation_id is not None:
            _take(stories[line.conversation_id], line, suggested_in)
    for message in written.values():
        stories[message.conversation_id].inbound.append(message.at)
    survivors = {identity: _survivor(stories, identity) for identity in stories}
    families: defaultdict[str, list[str]] = defaultdict(list)
    for identity, survivor in survivors.items():
        families[survivor].append(identity)
    episodes: list[EpisodeRecord] = []
    openings: list[Opening] = []
    handled: list[tuple[_Assignment, datetime]] = []
    for identity, story in stories.items():
        if story.merged_into is None:
            family = [stories[member] for member in families[identity]]
            episodes += _episodes(identity, story, family)
        openings += _openings(survivors[identity], story)
        handled += [(one, one.ended_at or max(now, one.started_at)) for one in story.assignments.values()]
    handled.sort(key=lambda pair: (pair[0].agent_id, pair[0].started_at))
    spans = [
        (one.match, HandledSpan(one.agent_id, one.pool, one.units, one.match or 0.0, one.started_at, ended_at))
        for one, ended_at in handled
    ]
    return LogRecords(
        episodes=tuple(sorted(episodes, key=lambda one: (one.conversation_id, one.episode))),
        openings=tuple(openings),
        handled=tuple(span for match, span in spans if match is not None),
        unforeseen=tuple(span for match, span in spans if match is None),
    )


def _place(line: LogLine, written: dict[str, _Written]) -> None:
    """A message that reached a conversation after its end belongs to the one that took it."""
    if line.conversation_id is None or line.kind not in {"message_received", "message_passed_on"}:
        return
    message_id, thread_id = str(line.data["message_id"]), _name(line.data.get("thread_id"))
    if line.kind == "message_received":
        written[message_id] = _Written(line.conversation_id, thread_id, line.at)
    elif (message := written.get(message_id)) is not None:
        written[message_id] = _Written(line.conversation_id, thread_id, message.at)


def _merge(stories: defaultdict[str, _Story], line: LogLine, losers: dict[str, _Loser]) -> None:
    """What had been counted of an unresolved loser counts in the episode that goes on."""
    if line.conversation_id is None:
        return
    if line.kind == "merged":
        losers[str(line.data.get("merge_id"))] = _Loser(line.conversation_id, line.episode)
    record = line.data.get("record")
    loser = losers.get(str(record.get("absorbed"))) if isinstance(record, dict) else None
    if loser is not None:
        theirs = stories[loser.conversation_id].counts[loser.episode]
        stories[line.conversation_id].counts[line.episode].update({name: theirs[name] for name in _ABSORBED})


def _part(
    stories: defaultdict[str, _Story], line: LogLine, losers: dict[str, _Loser], written: dict[str, _Written]
) -> None:
    """Threads that leave take their messages along; by an undone merge its loser belongs to where they went."""
    if line.kind != "threads_split":
        return
    into, threads, beside = str(line.data["into"]), _list(line.data["threads"]), _list(line.data.get("messages"))
    for message_id, message in written.items():
        if message.thread_id in threads or message_id in beside:
            message.conversation_id = into
    loser = losers.get(str(line.data.get("merge_id")))
    if loser is not None:
        stories[loser.conversation_id].merged_into = into


def _link(stories: defaultdict[str, _Story], line: LogLine) -> None:
    """Two customers that were found to be one, and what returns when they were not."""
    absorbed, restored = line.data.get("absorbed_customer_id"), line.data.get("restored_customer_id")
    if line.kind == "identity_linked" and absorbed is not None:
        for story in stories.values():
            if story.customer_id == absorbed:
                story.customer_id = str(line.data["customer_id"])
    elif line.kind == "identity_unlinked" and restored is not None:
        for returned in _list(line.data.get("conversations")):
            stories[str(returned)].customer_id = str(restored)


def _take(story: _Story, line: LogLine, suggested_in: dict[str, Counter[str]]) -> None:
    story.customer_id = story.customer_id or line.customer_id or ""
    match line.kind:
        case "conversation_opened":
            story.opened_at = line.at
        case "reopened":
            story.newest_episode = max(story.newest_episode, line.episode)
            story.reopened_at[line.episode] = line.at
        case "merged":
            story.merged_into = str(line.data["into"])
        case kind if kind in _COUNTED:
            story.counts[line.episode][_COUNTED[kind]] += 1
            if kind == "transferred" and line.data.get("to_agent") is None:
                story.counts[line.episode]["misroutes"] += 1
        case _:
            _take_journey(story, line, suggested_in)
    record = line.data.get("record")
    if isinstance(record, dict):
        _keep(story, record)


def _take_journey(story: _Story, line: LogLine, suggested_in: dict[str, Counter[str]]) -> None:
    """An answer counts where the suggestion was made, however much later, and in whatever it was merged into."""
    counts = story.counts[line.episode]
    match line.kind:
        case "suggestion_offered":
            suggested_in[str(line.data["suggestion_id"])] = counts
            counts["suggestions_offered"] += 1
        case "suggestion_accepted":
            suggested_in.get(str(line.data["suggestion_id"]), counts)["suggestions_accepted"] += 1
        case "suggestion_judged" if line.data["outcome"] == "resolved_there":
            suggested_in.get(str(line.data["suggestion_id"]), counts)["suggestions_resolved_there"] += 1
        case "survey_asked":
            story.answers.setdefault(line.episode, None)
        case "survey_answered":
            story.answers[line.episode] = int(str(line.data["score"]))
        case _:
            pass


def _keep(story: _Story, record: Mapping[str, Json]) -> None:
    for row in _rows(record.get("assignments")):
        story.assignments[str(row["id"])] = _Assignment(
            agent_id=str(row["agent_id"]),
            pool=str(row["pool"]),
            episode=int(str(row["episode"])),
            units=int(str(row["units"])),
            match=None if row["match"] is None else float(str(row["match"])),
            is_touch=row.get("how") != "switch",
            full_history=bool(row["full_history"]),
            started_at=_instant(row["started_at"]),
            ended_at=_maybe(row["ended_at"]),
        )
    for row in _rows(record.get("clocks")):
        episode, number = int(str(row["episode"])), int(str(row["number"]))
        story.clocks[episode, str(row["metric"]), number] = EndedClock(
            Metric(str(row["metric"])),
            ClockState(str(row["state"])),
            _instant(row["started_at"]),
            _maybe(row["ended_at"]),
            timedelta(seconds=float(str(row["business_seconds"]))),
        )
    if "intent" in record:
        story.intent = _name(record["intent"])
    resolution = record.get("resolution")
    if isinstance(resolution, dict):
        story.resolutions.setdefault(int(str(resolution["episode"])), resolution)


def _episodes(identity: str, story: _Story, family: list[_Story]) -> list[EpisodeRecord]:
    inbound = sorted(at for one in family for at in one.inbound)
    found: list[EpisodeRecord] = []
    ended_before: datetime | None = None
    for number in sorted(story.resolutions):
        row = story.resolutions[number]
        began, resolved = _began(number, row), _instant(row["resolved_at"])
        first = next((at for at in inbound if (ended_before is None or at > ended_before) and at <= resolved), began)
        held, wrap_up = _held(story, number, began, resolved)
        counts = story.counts[number]
        touches = [
            one
            for one in story.assignments.values()
            if one.is_touch and one.episode == number and one.started_at <= resolved
        ]
        ended_before = resolved
        if row["end_reason"] in _OF_NO_CUSTOMER:
            continue
        found.append(
            EpisodeRecord(
                conversation_id=identity,
                episode=number,
                customer_id=story.customer_id,
                intent=_name(row["intent"]),
                segment=str(row["segment"]),
                pool=str(row["pool"]),
                agent_id=_name(row["agent_id"]),
                channels=tuple(Channel(str(name)) for name in _list(row["channels"])),
                first_channel=Channel(str(row["first_channel"])),
                opened_at=began,
                first_inbound_at=first,
                resolved_at=resolved,
                business_time=timedelta(seconds=float(str(row["business_seconds"]))),
                queued_at=_maybe(row["queued_at"]),
                accepted_at=_maybe(row["accepted_at"]),
                first_response_at=_maybe(row["first_response_at"]),
                abandoned=row["end_reason"] == "abandoned",
                handle_time=held,
                wrap_up_time=wrap_up,
                offers=counts["offers"],
                declines=counts["declines"],
                timeouts=counts["timeouts"],
                reroutes=counts["reroutes"],
                transfers=counts["transfers"],
                misroutes=counts["misroutes"],
                touches=len(touches),
                touches_with_full_history=sum(one.full_history for one in touches),
                merged=len(family) - 1,
                clocks=tuple(
                    clock
                    for (episode, _, _), clock in sorted(story.clocks.items(), key=lambda pair: pair[0])
                    if episode == number
                ),
                effort_asked=number in story.answers,
                effort_answer=story.answers.get(number),
                suggestions_offered=counts["suggestions_offered"],
                suggestions_accepted=counts["suggestions_accepted"],
                suggestions_resolved_there=counts["suggestions_resolved_there"],
            )
        )
    return found


def _began(number: int, row: Mapping[str, Json]) -> datetime:
    opened = _instant(row["opened_at"])
    return opened if number == 1 else _maybe(row["queued_at"]) or opened


def _held(story: _Story, number: int, began: datetime, resolved: datetime) -> tuple[timedelta, timedelta]:
    """Assigned time until the resolve, and wrap-up from there to the next episode: cut by instants."""
    following = story.resolutions.get(number + 1)
    if following is not None:
        followed: datetime | None = _began(number + 1, following)
    else:
        followed = story.reopened_at.get(number + 1)
    held = wrap_up = _ZERO
    for one in story.assignments.values():
        end = one.ended_at or resolved
        held += max(min(end, resolved) - max(one.started_at, began), _ZERO)
        until = end if followed is None else min(end, followed)
        wrap_up += max(until - max(one.started_at, resolved), _ZERO)
    return held, wrap_up


def _openings(identity: str, story: _Story) -> list[Opening]:
    """What has begun and not ended; what has ended knows its own beginning."""
    found = [
        Opening(identity, number, story.customer_id, _name(row["intent"]), _began(number, row))
        for number, row in story.resolutions.items()
        if row["end_reason"] not in _OF_NO_CUSTOMER
    ]
    newest = story.newest_episode
    if newest not in story.resolutions:
        at = story.opened_at if newest == 1 else story.reopened_at.get(newest)
        if at is not None:
            found.append(Opening(identity, newest, story.customer_id, story.intent, at))
    return found


def _survivor(stories: Mapping[str, _Story], identity: str) -> str:
    while (into := stories[identity].merged_into) is not None and into in stories:
        identity = into
    return identity


def _rows(value: Json) -> list[dict[str, Json]]:
    return [row for row in _list(value) if isinstance(row, dict)]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _name(value: Json) -> str | None:
    return None if value is None else str(value)


def _instant(value: Json) -> datetime:
    return datetime.fromisoformat(str(value))


def _maybe(value: Json) -> datetime | None:
    return None if value is None else _instant(value)
