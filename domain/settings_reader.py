"""Reading a settings document: key by key, value by value, and every mistake in it is kept with its place."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from math import isfinite
from types import MappingProxyType
from typing import Final, TypeVar

from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Value = TypeVar("Value")

_LONGEST: Final = timedelta(days=366)
_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})
_CHANNEL_NAMES: Final = frozenset(channel.value for channel in Channel)
_MOST_WEIGHT: Final = 100.0


class WrongValue(Exception):  # noqa: N818 -- caught by the reader
    """One value that can't be meant; where it stands is known by who catches it."""


class SettingsReader:
    """Reads one document key by key and keeps what was wrong, each with its pointer."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self._document = document
        self._known: set[str] = set()
        self._problems: list[FieldProblem] = []

    def finish(self) -> None:
        self._problems += [
            FieldProblem(pointer(key), "no such setting") for key in self._document if key not in self._known
        ]
        if self._problems:
            raise InvalidInput(*self._problems)

    def one(self, key: str, default: Value, read: Callable[[Json], Value]) -> Value:
        self._known.add(key)
        return self._at((key,), self._document[key], default, read) if key in self._document else default

    def per_channel(
        self, key: str, default: Mapping[Channel, Value], read: Callable[[Json], Value]
    ) -> Mapping[Channel, Value]:
        given: Mapping[str, Json] = self.one(key, _NOTHING, _object)
        for name in given:
            if name not in _CHANNEL_NAMES:
                self._problems.append(FieldProblem(pointer(key, name), "no such channel"))
        return {
            channel: self._at((key, channel), given[channel], before, read) if channel in given else before
            for channel, before in default.items()
        }

    def many(
        self, key: str, default: tuple[Value, ...], read: Callable[["SettingsReader"], Value]
    ) -> tuple[Value, ...]:
        if key not in self._document:
            self._known.add(key)
            return default
        nothing: list[Json] = []
        rows = self.one(key, nothing, _array)
        values: list[Value] = []
        for position, row in enumerate(rows):
            try:
                inner = SettingsReader(_object(row))
                values.append(read(inner))
                inner.finish()
            except WrongValue as wrong:
                self._problems.append(FieldProblem(pointer(key, position), str(wrong)))
            except InvalidInput as invalid:
                self._problems += [
                    FieldProblem(pointer(key, position) + problem.pointer, problem.detail)
                    for problem in invalid.problems
                ]
        return tuple(values)

    def inner(self, key: str, default: Value, read: Callable[["SettingsReader"], Value]) -> Value:
        """A document within the document; what it leaves out keeps its default."""
        inner = SettingsReader(self.one(key, _NOTHING, _object))
        value = read(inner)
        try:
            inner.finish()
        except InvalidInput as invalid:
            self._problems += [FieldProblem(pointer(key) + one.pointer, one.detail) for one in invalid.problems]
            return default
        return value

    def check(self, key: str, build: Callable[[], object]) -> None:
        """Keep what `build` says against the whole of a key, as a ValueError, unless a part of it is wrong already."""
        if any(problem.pointer.startswith(pointer(key)) for problem in self._problems):
            return
        try:
            build()
        except ValueError as error:
            self._problems.append(FieldProblem(pointer(key), str(error)))

    def _at(self, where: tuple[str, ...], value: Json, default: Value, read: Callable[[Json], Value]) -> Value:
        try:
            return read(value)
        except WrongValue as wrong:
            self._problems.append(FieldProblem(pointer(*where), str(wrong)))
            return default

    @staticmethod
    def bounded_weight(value: Json) -> float:
        number = _number(value)
        if not 0 <= number <= _MOST_WEIGHT:
            raise WrongValue(f"a number from 0 to {_MOST_WEIGHT:g}")
        return number

    @staticmethod
    def duration(value: Json) -> timedelta:
        seconds = _number(value)
        if not 0 <= seconds <= _LONGEST.total_seconds():
            raise WrongValue(f"a number of seconds from 0 to {_LONGEST.total_seconds():.0f}")
        return timedelta(seconds=seconds)

    @staticmethod
    def positive_duration(value: Json) -> timedelta:
        span = SettingsReader.duration(value)
        if not span:
            raise WrongValue("longer than nothing")
        return span

    @staticmethod
    def probability(value: Json) -> float:
        number = _number(value)
        if not 0 <= number <= 1:
            raise WrongValue("a number from 0 to 1")
        return number

    @staticmethod
    def weight(value: Json) -> float:
        number = _number(value)
        if number < 0:
            raise WrongValue("a number, not negative")
        return number

    @staticmethod
    def boolean(value: Json) -> bool:
        if not isinstance(value, bool):
            raise WrongValue("true or false")
        return value

    @staticmethod
    def count(value: Json) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:  # noqa: PLR2004 -- a bound
            raise WrongValue("a whole number from 0 to 1000000")
        return value

    @staticmethod
    def units(value: Json) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:  # noqa: PLR2004 -- a bound
            raise WrongValue("a whole number of units from 1 to 10000")
        return value

    @staticmethod
    def name(value: Json) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > 200 or "\x00" in value:  # noqa: PLR2004 -- a bound
            raise WrongValue("a name of 1 to 200 characters")
        return value

    @staticmethod
    def names(value: Json) -> tuple[str, ...]:
        return tuple(SettingsReader.name(one) for one in _array(value))

    @staticmethod
    def one_of(value: Json, names: Collection[str]) -> str:
        if not isinstance(value, str) or value not in names:
            raise WrongValue(f"one of {', '.join(names)}")
        return value

    @staticmethod
    def address(value: Json) -> str:
        """An http address, or nothing."""
        if value == "":
            return ""
        address = SettingsReader.name(value)
        if not address.startswith(("http://", "https://")) or any(sign.isspace() for sign in address):
            raise WrongValue("an address that begins with https://")
        return address

    @staticmethod
    def object(value: Json) -> Mapping[str, Json]:
        return _object(value)


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongValue("a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise WrongValue("a number of a usual size") from error
    if not isfinite(number):
        raise WrongValue("a number")
    return number


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise WrongValue("an object")
    return MappingProxyType(value)


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise WrongValue("a list")
    return value


def or_null(read: Callable[[Json], Value]) -> Callable[[Json], Value | None]:
    return lambda value: None if value is None else read(value)
