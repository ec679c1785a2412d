"""What customers buy and use, as other systems tell it: the schema of one event, and a table of them.

The same rules read a JSON document and a row of a CSV file. Nothing is taken of a table in which one row is wrong.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from domain.errors import FieldProblem, InvalidInput, pointer

MOST_ROWS: Final = 10_000
MOST_PROBLEMS: Final = 100
"""After so many mistakes a table is not read on."""

_LONGEST_NAME: Final = 200
_LONGEST_CELL: Final = 1000
_LARGEST_AMOUNT: Final = Decimal(10) ** 12
_LARGEST_QUANTITY: Final = 1_000_000_000
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_WHOLE: Final = re.compile(r"[0-9]{1,10}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FORMULA_BEGINNINGS: Final = ("=", "+", "-", "@")
_YEARS: Final = range(1990, 2201)

COLUMNS: Final = ("customer", "source", "external_id", "kind", "product", "at", "amount", "currency", "quantity")
_NEEDED: Final = frozenset(COLUMNS[:6])

Cell = str | int | float | None


class CustomerEventKind(StrEnum):
    PURCHASE = "purchase"
    REFUND = "refund"
    PRODUCT_USE = "product_use"
    SUBSCRIPTION_STARTED = "subscription_started"
    SUBSCRIPTION_RENEWED = "subscription_renewed"
    SUBSCRIPTION_CANCELLED = "subscription_cancelled"

    @property
    def has_a_price(self) -> bool:
        return self in {CustomerEventKind.PURCHASE, CustomerEventKind.REFUND}


_KINDS: Final[Mapping[str | None, CustomerEventKind]] = {kind.value: kind for kind in CustomerEventKind}


@dataclass(frozen=True, slots=True)
class NewCustomerEvent:
    """`source` names the system that tells it, `external_id` the event in that system: together they are one event.

    `customer` is a customer id or `channel:address`. `amount` is in units of `currency` (ISO 4217), both or neither.
    """

    customer: str
    source: str
    external_id: str
    kind: CustomerEventKind
    product: str
    at: datetime
    amount: Decimal | None = None
    currency: str | None = None
    quantity: int = 1


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of a table, and the pointer to its row."""

    event: NewCustomerEvent
    pointer: str


def event_from(fields: Mapping[str, Cell], *at: str | int) -> NewCustomerEvent:
    """Read one event; every mistake in it is named, at its pointer below `at`.

    Raises:
        InvalidInput: an unknown or missing field, or a value that has no meaning.
    """
    read = _Reader(fields, at)
    event = NewCustomerEvent(
        customer=read.name("customer"),
        source=read.name("source"),
        external_id=read.name("external_id"),
        kind=read.kind(),
        product=read.name("product"),
        at=read.instant(),
        amount=read.amount(),
        currency=read.currency(),
        quantity=read.quantity(),
    )
    read.check_price(event)
    read.finish()
    return event


def events_from_csv(content: bytes) -> tuple[EventRow, ...]:
    """Read a CSV file: UTF-8, a header that names the columns, a row an event.

    Problems point at `/rows/N/column`, where N is the line a spreadsheet shows the row in: the header is row 1.

    Raises:
        InvalidInput: it is not such a file, or something in a row has no meaning; all of it is refused.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(FieldProblem("", f"not UTF-8, at byte {error.start}")) from error
    rows = _rows(text)
    header = next(rows, None)
    if header is None:
        raise InvalidInput(FieldProblem("", "the file is empty"))
    columns = [name.strip().lower() for name in header[1]]
    _check_header(columns)
    return _events(rows, columns)


def _events(rows: Iterator[tuple[int, list[str]]], columns: Sequence[str]) -> tuple[EventRow, ...]:
    events: list[EventRow] = []
    problems: list[FieldProblem] = []
    for count, (number, cells) in enumerate(rows, start=1):
        if count > MOST_ROWS:
            problems.append(FieldProblem(pointer("rows", number), f"at most {MOST_ROWS} rows are taken at once"))
            break
        if len(cells) != len(columns):
            problems.append(
                FieldProblem(pointer("rows", number), f"{len(cells)} cells where the header has {len(columns)}")
            )
        else:
            try:
                given = {column: cell for column, cell in zip(columns, cells, strict=True) if cell.strip()}
                events.append(EventRow(event_from(given, "rows", number), pointer("rows", number)))
            except InvalidInput as error:
                problems += error.problems
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise InvalidInput(*problems[:MOST_PROBLEMS])
    return tuple(events)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with its number, the header's is 1; rows without a single cell are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            if cells:
                yield number, cells
    except csv.Error as error:
        raise InvalidInput(FieldProblem(pointer("rows", number + 1), f"not CSV: {error}")) from error


def _check_header(columns: Sequence[str]) -> None:
    problems = [
        FieldProblem(pointer("rows", 1, name[:_LONGEST_NAME]), "no such column")
        for name in columns
        if name not in COLUMNS
    ]
    problems += [
        FieldProblem(pointer("rows", 1, name), "this column is missing")
        for name in COLUMNS
        if name in _NEEDED and name not in columns
    ]
    problems += [
        FieldProblem(pointer("rows", 1, name), "this column is there twice")
        for name in COLUMNS
        if columns.count(name) > 1
    ]
    if problems:
        raise InvalidInput(*problems[:MOST_PROBLEMS])


class _Reader:
    """Reads the fields of one event and keeps what was wrong with them."""

    def __init__(self, fields: Mapping[str, Cell], at: tuple[str | int, ...]) -> None:
        self._fields = fields
        self._at = at
        self._problems: list[FieldProblem] = []
        self._wrong: set[str] = set()
        for name in fields:
            if name not in COLUMNS:
                self._problem(name[:_LONGEST_NAME], "no such field")

    def finish(self) -> None:
        if self._problems:
            raise InvalidInput(*self._problems)

    def check_price(self, event: NewCustomerEvent) -> None:
        if self._wrong & {"amount", "currency", "kind"}:
            return
        if (event.amount is None) != (event.currency is None):
            missing = "amount" if event.amount is None else "currency"
            self._problem(missing, "an amount and its currency come together")
        elif event.kind.has_a_price and event.amount is None:
            self._problem("amount", f"a {event.kind} has an amount")

    def name(self, field: str) -> str:
        value = self._text(field)
        if value is None:
            self._problem(field, "this is missing")
        elif len(value) > _LONGEST_NAME:
            self._problem(field, f"longer than {_LONGEST_NAME} characters")
        elif _CONTROL.search(value):
            self._problem(field, "holds a control character")
        elif value.startswith(_FORMULA_BEGINNINGS):
            self._problem(field, "begins like a spreadsheet formula")
        return value or ""

    def kind(self) -> CustomerEventKind:
        value = self._text("kind")
        if value in _KINDS:
            return _KINDS[value]
        self._problem("kind", "one of " + ", ".join(CustomerEventKind))
        return CustomerEventKind.PRODUCT_USE

    def instant(self) -> datetime:
        value = self._text("at")
        try:
            instant = datetime.fromisoformat(value or "")
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None or instant.year not in _YEARS:
            self._problem("at", "an instant with its offset, such as 2026-01-05T09:00:00Z")
            return datetime.min.replace(tzinfo=UTC)
        return instant.astimezone(UTC)

    def amount(self) -> Decimal | None:
        value = self._text("amount")
        if value is None:
            return None
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or not 0 <= amount <= _LARGEST_AMOUNT or amount != round(amount, 2):
            self._problem("amount", "a number that is not negative, with two decimals at most")
            return None
        return round(amount, 2)

    def currency(self) -> str | None:
        value = self._text("currency")
        if value is not None and not _CURRENCY.fullmatch(value):
            self._problem("currency", "three capital letters of ISO 4217, such as EUR")
            return None
        return value

    def quantity(self) -> int:
        value = self._text("quantity")
        if value is None:
            return 1
        if not _WHOLE.fullmatch(value) or not 1 <= int(value) <= _LARGEST_QUANTITY:
            self._problem("quantity", "a whole number from 1")
            return 1
        return int(value)

    def _text(self, field: str) -> str | None:
        value = self._fields.get(field)
        if value is None or isinstance(value, bool):
            return None
        text = str(value).strip()
        if len(text) > _LONGEST_CELL:
            self._problem(field, f"longer than {_LONGEST_CELL} characters")
            return None
        return text or None

    def _problem(self, field: str, detail: str) -> None:
        if field not in self._wrong:
            self._wrong.add(field)
            self._problems.append(FieldProblem(pointer(*self._at, field), detail))
