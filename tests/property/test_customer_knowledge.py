"""What is learned of customers and read from other systems, under any input."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.customers.events import (
    COLUMNS,
    MOST_PROBLEMS,
    MOST_ROWS,
    CustomerEventKind,
    NewCustomerEvent,
    event_from,
    events_from_csv,
)
from domain.customers.health import HealthMapping, NotAHealthAnswer, mapping_from, read_page, scaled
from domain.customers.patterns import Complexity, IntentHistory, pattern
from domain.customers.preferences import ChannelUse, learned_channels, learned_hours
from domain.errors import InvalidInput

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
COUNTS = st.integers(0, 500)
GOOD = {
    "customer": "cus_1",
    "source": "shop",
    "external_id": "o-1",
    "kind": "purchase",
    "product": "Coffee machine",
    "at": "2026-01-05T09:00:00Z",
    "amount": "249.90",
    "currency": "EUR",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "0", "~"]), inner),
    max_leaves=20,
)
POINTERS = st.sampled_from(["", "/a", "/b/a", "/0", "/a/0", "/~0", "/a~1b"])


def problems_of(fields: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as refused:
        event_from(fields, "rows", 2)
    return [(problem.pointer, problem.detail) for problem in refused.value.problems]


def csv_of(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    written = io.StringIO()
    table = csv.DictWriter(written, columns, restval="")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue().encode()


@st.composite
def uses(draw: st.DrawFn) -> list[ChannelUse]:
    channels = draw(st.lists(st.sampled_from(list(Channel)), unique=True, max_size=6))
    made = []
    for channel in channels:
        written = draw(COUNTS)
        made.append(ChannelUse(channel.value, written, draw(st.integers(0, written)), draw(COUNTS)))
    return made


@given(uses())
def test_shares_are_shares_and_at_most_one_channel_is_preferred(given_uses: list[ChannelUse]) -> None:
    learned = learned_channels(given_uses)
    assert sum(one.share for one in learned) <= 1 + 1e-9
    assert sum(one.is_preferred for one in learned) <= 2
    assert [one.share for one in learned] == sorted((one.share for one in learned), reverse=True)


def test_two_messages_make_no_preference_and_thirty_do() -> None:
    (two,) = learned_channels([ChannelUse("sms", 2, 2, 2)])
    (thirty,) = learned_channels([ChannelUse("sms", 30, 0, 0)])
    assert (two.is_preferred, thirty.is_preferred) == (False, True)
    assert learned_hours({9: 2}) == ()
    (evening,) = learned_hours({18: 20, 19: 25, 20: 15})
    assert (evening.start, evening.end, evening.messages) == (18, 21, 60)


@given(st.dictionaries(st.integers(0, 23), COUNTS), st.integers(0, 23))
def test_hours_turn_with_the_clock(counts: dict[int, int], turn: int) -> None:
    turned = {(hour + turn) % 24: count for hour, count in counts.items()}
    moved = {((span.start + turn) % 24, (span.end + turn) % 24, span.messages) for span in learned_hours(counts)}
    spans = learned_hours(turned)
    assert {(span.start, span.end, span.messages) for span in spans} == moved
    assert sum(span.messages for span in spans) <= sum(counts.values())


def test_people_who_write_all_day_prefer_no_hour() -> None:
    assert learned_hours(dict.fromkeys(range(24), 50)) == ()


@given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 80), st.integers(0, 20), st.integers(0, 400), st.data())
def test_a_pattern_has_shares_and_grows_with_trouble(
    firsts: int, reopened: int, extra: int, transfers: int, inbound: int, data: st.DataObject
) -> None:
    episodes = firsts + reopened

    def of(transfers: int, inbound: int) -> IntentHistory:
        hours = timedelta(hours=firsts)
        return IntentHistory(
            "billing", episodes, firsts, reopened, hours, hours, episodes + extra, transfers, inbound, (), ()
        )

    calm = pattern(of(transfers, inbound))
    assert 0 <= calm.reopen_share < 1
    assert calm.mean_resolution == timedelta(hours=1)
    worse = pattern(of(transfers + data.draw(st.integers(0, 5)), inbound + data.draw(st.integers(0, 50))))
    assert worse.points >= calm.points >= 0
    levels = list(Complexity)
    assert levels.index(worse.complexity) >= levels.index(calm.complexity)


def test_one_short_exchange_is_simple_and_a_passed_around_reopen_is_complex() -> None:
    hour = timedelta(hours=1)
    assert pattern(IntentHistory("a", 2, 2, 0, hour, hour, 2, 0, 4, (), ())).complexity is Complexity.SIMPLE
    assert pattern(IntentHistory("a", 2, 1, 1, hour, hour, 4, 2, 4, (), ())).complexity is Complexity.COMPLEX
    with pytest.raises(ValueError, match="episode"):
        pattern(IntentHistory("a", 0, 0, 0, hour, hour, 0, 0, 0, (), ()))


def test_an_event_is_read_from_words() -> None:
    assert event_from(GOOD) == NewCustomerEvent(
        "cus_1",
        "shop",
        "o-1",
        CustomerEventKind.PURCHASE,
        "Coffee machine",
        datetime(2026, 1, 5, 9, tzinfo=UTC),
        Decimal("249.90"),
        "EUR",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "theft"),
        ("at", "yesterday"),
        ("at", "2026-01-05T09:00:00"),
        ("at", "0001-01-01T00:00:00+14:00"),
        ("amount", "-1"),
        ("amount", "1.005"),
        ("amount", "NaN"),
        ("amount", "1e999999"),
        ("currency", "euro"),
        ("quantity", "0"),
        ("quantity", "１٢"),
        ("product", "=HYPERLINK(1)"),
        ("product", "@SUM(1)"),
        ("source", "+1"),
        ("external_id", "-2"),
        ("product", "a\x00b"),
        ("product", "x" * 201),
        ("product", "x" * 5000),
        ("product", ""),
        ("price", "1"),
    ],
)
def test_a_wrong_field_is_pointed_at(field: str, value: str) -> None:
    assert [where for where, _ in problems_of({**GOOD, field: value})] == [f"/rows/2/{field}"]


def test_a_price_has_two_parts() -> None:
    assert problems_of({name: value for name, value in GOOD.items() if name != "currency"})[0][0] == "/rows/2/currency"
    without = {name: value for name, value in GOOD.items() if name not in {"amount", "currency"}}
    assert problems_of(without)[0][0] == "/rows/2/amount"
    assert event_from({**without, "kind": "product_use"}).amount is None


def test_a_file_is_read_with_a_mark_at_its_beginning_and_lines_in_its_cells() -> None:
    content = b"\xef\xbb\xbf" + csv_of(GOOD, {**GOOD, "external_id": "o-2", "product": 'A "big, red" one'})
    events = events_from_csv(content)
    assert [row.event.external_id for row in events] == ["o-1", "o-2"]
    assert [row.pointer for row in events] == ["/rows/2", "/rows/3"]
    assert events[1].event.product == 'A "big, red" one'


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", ""),
        ("café".encode("latin-1"), ""),
        (csv_of(GOOD).decode().encode("utf-16"), ""),
        (b"source,kind\r\n", "/rows/1/customer"),
        (b"customer,source,external_id,kind,product,at,price\r\n", "/rows/1/price"),
        (b"customer,customer,source,external_id,kind,product,at\r\n", "/rows/1/customer"),
        (b"customer,source,external_id,kind,product,at\r\na,b\r\n", "/rows/2"),
        (b'customer,source,external_id,kind,product,at\r\n"a,b\r\n', "/rows/2"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_place(content: bytes, where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        events_from_csv(content)
    assert refused.value.problems[0].pointer == where


def test_a_file_of_mistakes_names_the_first_of_them_and_an_endless_one_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        events_from_csv(csv_of(*[{**GOOD, "kind": "theft"}] * 300))
    assert len(refused.value.problems) == MOST_PROBLEMS
    line = csv_of(GOOD).split(b"\r\n")[1] + b"\r\n"
    with pytest.raises(InvalidInput) as refused:
        events_from_csv(csv_of() + line * (MOST_ROWS + 1))
    assert refused.value.problems[0].pointer == f"/rows/{MOST_ROWS + 2}"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_file_or_refused(content: bytes) -> None:
    with suppress(InvalidInput):
        assert isinstance(events_from_csv(content), tuple)


@given(st.lists(st.lists(st.text(max_size=8), min_size=6, max_size=6), max_size=5))
def test_any_cells_are_events_or_refused(table: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([list(COLUMNS[:6]), *table])
    with suppress(InvalidInput):
        for row in events_from_csv(written.getvalue().encode("utf-8", "surrogatepass")):
            assert not row.event.product.startswith(("=", "+", "-", "@"))


@given(JSON, POINTERS, POINTERS, POINTERS, st.none() | POINTERS)
def test_any_answer_is_read_or_refused(document: object, items: str, customer: str, score: str, at: str | None) -> None:
    mapping = HealthMapping(items, customer, score, at=at, next="/b")
    try:
        page = read_page(document, mapping, NOW)
    except NotAHealthAnswer:
        return
    assert all(0 <= reading.score <= 1 and reading.at <= NOW for reading in page.readings)


def test_an_answer_is_read_by_its_mapping() -> None:
    mapping = mapping_from(
        {
            "items": "/data",
            "customer": "/owner/email",
            "channel": "email",
            "score": "/risk",
            "lowest": 100,
            "highest": 0,
            "next": "/links/next",
        }
    )
    document = {
        "data": [
            {"owner": {"email": "a@b.example"}, "risk": 25},
            {"owner": {"email": "c@d.example"}, "risk": 125},
            {"owner": {}, "risk": 5},
            {"owner": {"email": "e@f.example"}, "risk": "high"},
            "nobody",
        ],
        "links": {"next": "/page/2"},
    }
    page = read_page(document, mapping, NOW)
    assert [(one.customer, one.score) for one in page.readings] == [("a@b.example", 0.75)]
    assert (page.unreadable, page.next) == (4, "/page/2")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"items": None}, "/mapping/items"),
        ({"score": "health"}, "/mapping/score"),
        ({"channel": "pigeon"}, "/mapping/channel"),
        ({"highest": 0}, "/mapping/highest"),
        ({"lowest": "low"}, "/mapping/lowest"),
        ({"colour": "/x"}, "/mapping/colour"),
    ],
)
def test_a_wrong_mapping_is_pointed_at(changes: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        mapping_from({"items": "/data", "customer": "/id", "score": "/health", **changes}, "mapping")
    assert [problem.pointer for problem in refused.value.problems] == [where]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_scale_has_its_ends_at_nought_and_one(score: float, lowest: float, highest: float) -> None:
    if abs(lowest - highest) < 1e-6:
        return
    assert scaled(lowest, lowest, highest) == 0
    assert scaled(highest, lowest, highest) == 1
    share = scaled(score, lowest, highest)
    assert share is None or 0 <= share <= 1
