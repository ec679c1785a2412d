"""What the fields of requests have in common: their bounds, and text that the database can hold."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ledger.case_facts import calendar_from

_DEEPEST: Final = 30
_LONGEST_SPAN: Final = 366 * 24 * 3600

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""A name that stands in addresses and settings, such as a pool's."""
Text = Annotated[str, StringConstraints(max_length=2000)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Units = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Flag = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_SPAN, allow_inf_nan=False)]
Segment = Literal["standard", "silver", "gold", "platinum"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_Opens = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
_Closes = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
Weekly = dict[Weekday, Annotated[list[tuple[_Opens, _Closes]], Field(max_length=24)]]
"""Open hours in local time; "24:00" may end a day."""


def _is_a_zone(name: str) -> str:
    calendar_from(name, {"mon": [["00:00", "24:00"]]}, {}, datetime.now(UTC))
    return name


TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_is_a_zone)]


class Body(BaseModel):
    """A request's document: an unknown field, or text that no database can hold, is an error."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _holdable(cls, document: JsonValue) -> JsonValue:
        check_document(document)
        return document

    def sent(self) -> dict[str, JsonValue]:
        """Only what the caller wrote, as JSON: what a PATCH changes."""
        return self.model_dump(mode="json", exclude_unset=True)


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


def left_out() -> Any:
    """The default of a PATCH's field: not in the schema and never read, because only what was sent counts."""
    return Field(default_factory=lambda: None)


def check_document(document: JsonValue) -> None:
    """Raise ValueError for a document that nests too deeply or holds what PostgreSQL's JSON and text can't."""
    left: list[tuple[JsonValue, int]] = [(document, 0)]
    while left:
        value, depth = left.pop()
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and value - value != 0:
            raise ValueError("a number that is not finite")
        elif isinstance(value, dict):
            left += [(key, depth + 1) for key in value]
            left += [(inner, depth + 1) for inner in value.values()]
        elif isinstance(value, list):
            left += [(inner, depth + 1) for inner in value]


def check_weekly(at: str, time_zone: str, weekly: Weekly) -> None:
    """Raise `InvalidInput` that points at field `at` when the hours make no calendar."""
    hours: dict[str, Sequence[Sequence[str]]] = {day: list(spans) for day, spans in weekly.items()}
    try:
        calendar_from(time_zone, hours, {}, datetime.now(UTC))
    except ValueError as error:
        raise InvalidInput(FieldProblem(pointer(at), str(error))) from error


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text holds no NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text holds half a character") from error
