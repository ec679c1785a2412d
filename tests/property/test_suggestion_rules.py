"""What may be suggested: whatever the rules, the customer and the hour, the promises to the customer hold."""

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.channels import Channel
from domain.sla.calendar import Calendar, is_open
from domain.suggestions.advice import ENOUGH_SEEN, Reachable, Situation, advise
from domain.suggestions.answers import AnswerWord, read_answer
from domain.suggestions.effort import read_score
from domain.suggestions.learned import PRIOR, ChannelScores, Outcome
from domain.suggestions.links import LinkRefused, link_key, read, sign
from domain.suggestions.reach import Customer, ways_to
from domain.suggestions.rules import SUGGESTED_CHANNELS, Cause, SuggestionRule, SuggestionSettings
from domain.suggestions.waits import ExpectedWait, where_to_begin
from domain.suggestions.wording import offer_text

OFFICE = Calendar("Europe/Berlin", (((time(9), time(17)),),) * 5 + ((), ()))
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
KEY = link_key(b"0123456789abcdef" * 2)

channels = st.sampled_from(SUGGESTED_CHANNELS)
intents = st.sampled_from((None, "setup_help", "refund_request"))
instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- naive bounds
calendars = st.sampled_from(((), (OFFICE,)))
rules = st.builds(
    SuggestionRule,
    st.sampled_from(Cause),
    st.lists(channels, max_size=3, unique=True).map(tuple),
    st.just(("setup_help",)),
    st.integers(0, 6),
    st.timedeltas(timedelta(0), timedelta(hours=1)),
    st.floats(0, 2),
    st.floats(0, 1),
)
ways = st.builds(
    Reachable, channels, st.just(100), st.just(timedelta(seconds=20)), st.just(False), calendars, st.floats(0, 1),
    st.integers(0, 50),
)  # fmt: skip
situations = st.builds(
    Situation,
    instants,
    intents,
    st.booleans(),
    st.integers(0, 8),
    st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(hours=2))),
    st.floats(0, 2),
    st.booleans(),
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(channels.map(str), max_size=2).map(tuple),
    st.lists(channels.map(str), max_size=2).map(tuple),
)
outcomes = st.lists(st.builds(Outcome, intents, channels, st.booleans(), st.booleans()), max_size=60)


@given(st.lists(rules, max_size=6).map(tuple), st.lists(ways, max_size=3, unique_by=lambda one: one.channel).map(tuple),
       situations, st.floats(0, 1))  # fmt: skip
def test_advice_is_open_new_likely_and_asked_for_by_a_rule(
    asked: tuple[SuggestionRule, ...], reachable: tuple[Reachable, ...], situation: Situation, least: float
) -> None:
    advice = advise(asked, reachable, situation, least)
    if advice is None:
        return
    (way,) = [one for one in reachable if one.channel is advice.channel]
    assert all(is_open(hours, situation.at) for hours in way.hours)
    assert advice.channel not in situation.used
    assert advice.channel not in situation.asked
    assert way.success >= least
    assert any(rule.cause is advice.cause and advice.channel in rule.channels for rule in asked)
    assert advice.cause is not Cause.AGENT
    if advice.cause is Cause.HISTORY:
        assert way.observed >= ENOUGH_SEEN
        assert situation.stay_success is not None
        assert way.success >= situation.stay_success
    if advice.cause is Cause.SCREEN_SHARING:
        assert situation.intent == "setup_help"
        assert situation.is_held
    if advice.cause is Cause.LONG_WAIT:
        assert not situation.is_held
    assert advise(asked, reachable, situation, least) == advice


@given(outcomes, intents, channels, st.booleans())
def test_a_learned_score_is_a_probability_that_follows_what_happened(
    seen: list[Outcome], intent: str | None, channel: Channel, returning: bool
) -> None:
    score = ChannelScores(seen).score(intent, channel, returning=returning)
    assert 0 < score.success < 1
    assert score.observed == sum(one.channel is channel for one in seen)
    good = ChannelScores([*seen, Outcome(intent, channel, returning, True)]).score(intent, channel, returning=returning)
    bad = ChannelScores([*seen, Outcome(intent, channel, returning, False)]).score(intent, channel, returning=returning)
    assert bad.success < score.success < good.success


def test_nothing_seen_is_the_prior_and_much_seen_is_what_was_seen() -> None:
    assert ChannelScores().score("setup_help", Channel.VIDEO, returning=False).success == PRIOR
    many = [Outcome("setup_help", Channel.VIDEO, False, number % 10 != 0) for number in range(2000)]
    learned = ChannelScores(many)
    assert abs(learned.score("setup_help", Channel.VIDEO, returning=False).success - 0.9) < 0.01
    other = learned.score("refund_request", Channel.VIDEO, returning=False).success
    assert PRIOR < other < 0.9


@given(
    st.lists(st.sampled_from([*map(str, Channel)]), max_size=3).map(tuple),
    st.lists(st.sampled_from(("email", "phone", "visitor")), max_size=3).map(tuple),
    st.lists(channels.map(str), max_size=2).map(tuple),
    st.lists(st.sampled_from(("email", "voice", "web_chat")), max_size=3),
    st.booleans(),
    st.sampled_from(((), ((Channel.VOICE, "cal_office"),), ((Channel.VOICE, "gone"),))),
)
def test_nobody_is_led_against_their_preference_or_to_what_is_not_there(
    preferred: tuple[str, ...],
    proven: tuple[str, ...],
    asked: tuple[str, ...],
    accounts: list[str],
    meets: bool,
    hours: tuple[tuple[Channel, str], ...],
) -> None:
    settings = SuggestionSettings(meeting_link="https://meet.example/{id}" if meets else "", hours=hours)
    found = ways_to(Customer(preferred, proven, asked), settings, accounts, {"cal_office": OFFICE})
    for way in found:
        assert not preferred or way.channel in preferred
        assert way.channel not in asked
        assert way.channel is not Channel.VIDEO or meets
        assert way.channel is not Channel.EMAIL or ("email" in proven and "email" in accounts)
        assert way.channel is not Channel.VOICE or ("phone" in proven and "voice" in accounts)
        assert (way.channel, "gone") not in hours


def test_one_word_answers_in_several_languages_and_a_sentence_does_not() -> None:
    yes = ("yes", "Yes please!", "JA, bitte", "oui merci", "Sí", "ok", "D'accord.", "évet".replace("é", "e"))
    assert {read_answer(word) for word in yes} == {AnswerWord.YES}
    assert {read_answer(word) for word in ("No.", "nein danke", "non", "não", "No, gracias")} == {AnswerWord.NO}
    assert [read_answer(word) for word in ("VIDEO", "vidéo", "Rückruf", "e-mail")] == [
        AnswerWord.VIDEO,
        AnswerWord.VIDEO,
        AnswerWord.VOICE,
        AnswerWord.EMAIL,
    ]
    for text in ("yes but not today", "no idea", "call me a taxi company then", "", "7", "my video is broken"):
        assert read_answer(text) is None, text


@given(st.text(max_size=60))
def test_any_text_is_read_without_failing(text: str) -> None:
    assert read_answer(text) is None or isinstance(read_answer(text), AnswerWord)
    score = read_score(text)
    assert score is None or 1 <= score <= 7


def test_a_score_is_a_number_alone() -> None:
    assert [read_score(text) for text in ("7", " 6/7 ", "5 / 7.", "1!")] == [7, 6, 5, 1]
    for text in ("8", "0", "10", "7/10", "seven", "7 thanks", "6.5", "67"):
        assert read_score(text) is None, text


@given(st.from_regex(r"sug_[a-z0-9_]{1,40}", fullmatch=True), st.integers(0, 10**6), st.integers(0, 200))
def test_a_link_is_read_until_its_time_and_no_changed_one_is(subject: str, lasts: int, place: int) -> None:
    token = sign(KEY, subject, AT + timedelta(seconds=lasts))
    assert read(KEY, token, AT) == subject
    place %= len(token)
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    for wrong, when in ((changed, AT), (token, AT + timedelta(seconds=lasts + 1)), (token + "A", AT), ("", AT)):
        try:
            read(KEY, wrong, when)
        except LinkRefused:
            continue
        raise AssertionError(f"{wrong} was taken at {when}")


@given(st.sampled_from(Cause), channels, st.sampled_from((None, "en", "de-AT", "fr", "es", "xx")))
def test_every_offer_says_which_word_accepts_it(cause: Cause, channel: Channel, language: str | None) -> None:
    text = offer_text(language, channel, cause, "https://support.example/v1/s/t")
    words = [word.strip(",.") for word in text.split()]
    assert {read_answer(word) for word in words} & {AnswerWord(channel.value)}
    assert AnswerWord.NO in {read_answer(word) for word in words}
    assert text.endswith("https://support.example/v1/s/t")


def test_where_to_begin_is_where_the_wait_is_known_to_be_short() -> None:
    house = SuggestionSettings().rules
    minutes = {Channel.WEB_CHAT: 12, Channel.EMAIL: 4}
    waits = tuple(ExpectedWait(one, timedelta(minutes=wait), None, 40, 0) for one, wait in minutes.items())
    both = (Channel.WEB_CHAT, Channel.EMAIL)
    assert where_to_begin(house, both, waits, None).channel is Channel.EMAIL
    assert where_to_begin(house, (Channel.EMAIL, Channel.WEB_CHAT), waits, None).channel is None
    unknown = (ExpectedWait(Channel.WEB_CHAT, None, None, 2, 9), waits[1])
    assert where_to_begin(house, both, unknown, None).channel is None
    assert where_to_begin(house, (*both, Channel.VIDEO), waits, "setup_help").channel is Channel.VIDEO
