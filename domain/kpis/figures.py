"""The forms a KPI comes in: a ratio with its two parts, or a mean with p50, p90 and the count."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Ratio:
    """A share or a rate; without a denominator there is no value."""

    value: float | None
    numerator: float
    denominator: float


@dataclass(frozen=True, slots=True)
class DurationSummary:
    """How long something took."""

    mean: timedelta | None
    p50: timedelta | None
    p90: timedelta | None
    count: int


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """How something was rated."""

    mean: float | None
    p50: float | None
    p90: float | None
    count: int


def elapsed(start: datetime, end: datetime) -> timedelta:
    """Return the time that really passed; subtracting two instants of one zone would compare their wall clocks."""
    return end.astimezone(UTC) - start.astimezone(UTC)


def ratio(numerator: float, denominator: float) -> Ratio:
    """Return the ratio of two sums."""
    return Ratio(numerator / denominator if denominator else None, numerator, denominator)


def share(flags: Iterable[bool]) -> Ratio:
    """Return how many of all are true."""
    counted = tuple(flags)
    return ratio(sum(counted), len(counted))


def summarize_durations(durations: Iterable[timedelta]) -> DurationSummary:
    """Return mean and percentiles of durations.

    A percentile between two values is interpolated linearly, as PostgreSQL's `percentile_cont` does.
    """
    ordered = sorted(durations)
    if not ordered:
        return DurationSummary(None, None, None, 0)
    return DurationSummary(
        mean=sum(ordered, timedelta(0)) / len(ordered),
        p50=_duration_percentile(ordered, 50),
        p90=_duration_percentile(ordered, 90),
        count=len(ordered),
    )


def summarize_scores(scores: Iterable[float]) -> ScoreSummary:
    """Return mean and percentiles of scores, interpolated as those of durations."""
    ordered = sorted(scores)
    if not ordered:
        return ScoreSummary(None, None, None, 0)
    return ScoreSummary(
        mean=sum(ordered) / len(ordered),
        p50=_score_percentile(ordered, 50),
        p90=_score_percentile(ordered, 90),
        count=len(ordered),
    )


def _duration_percentile(ordered: list[timedelta], percent: int) -> timedelta:
    lower, upper, hundredths = _neighbours(len(ordered), percent)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * hundredths / 100


def _score_percentile(ordered: list[float], percent: int) -> float:
    lower, upper, hundredths = _neighbours(len(ordered), percent)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * hundredths / 100


def _neighbours(count: int, percent: int) -> tuple[int, int, int]:
    """Return the two places a percentile lies between and how far it is past the first, in hundredths."""
    lower, hundredths = divmod(percent * (count - 1), 100)
    return lower, min(lower + 1, count - 1), hundredths
