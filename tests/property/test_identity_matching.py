"""Normal forms, matching and linking: two spellings are one address, and hints never make two people one."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from channels.addresses import normal_address
from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress, NotAnAddress, normal_email
from domain.identity.linking import (
    SEGMENTS,
    KnownIdentity,
    LinkCause,
    Side,
    conflicts,
    higher_segment,
    joined,
    links_by_itself,
    survivor_of,
)
from domain.identity.matching import (
    SHARED_ATTRIBUTES,
    Evidence,
    EvidenceKind,
    by_name_and_attribute,
    is_worth_suggesting,
    score,
)
from domain.identity.quoted import MOST_QUOTED, quoted_addresses

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
EMAILS = st.builds(lambda name, host, top: f"{name}@{host}.{top}", WORDS, WORDS, st.sampled_from(["example", "org"]))
PHONES = st.integers(2, 9).flatmap(
    lambda first: st.integers(10**8, 10**9 - 1).map(lambda rest: f"+4420{first}{rest:09}"[:13])
)
ADDRESSES = st.one_of(
    EMAILS.map(normal_email),
    PHONES.map(lambda value: NormalAddress(AddressKind.PHONE, value)),
    WORDS.map(lambda value: NormalAddress(AddressKind.TELEGRAM, value)),
)
IDENTITIES = st.builds(KnownIdentity, ADDRESSES, st.booleans())
INSTANTS = st.integers(0, 10**6).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIDENCE = st.builds(Evidence, st.sampled_from(EvidenceKind), st.sampled_from(["email:a@b.c", "phone:+1", "x"]))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Side, Side]:
    """Two customers; a proven address belongs to one of them only, as the ledger has it."""
    first = draw(st.lists(IDENTITIES, max_size=5))
    taken = {identity.address for identity in first if identity.verified}
    second = [
        identity
        for identity in draw(st.lists(IDENTITIES, max_size=5))
        if not (identity.verified and identity.address in taken)
    ]
    return Side("cus_1", draw(INSTANTS), tuple(first)), Side("cus_2", draw(INSTANTS), tuple(second))


@given(EMAILS, st.sampled_from([str.lower, str.upper, str.title]), st.sampled_from(["", " ", "\t", "\n"]))
def test_every_spelling_of_an_e_mail_address_is_one(address: str, spell: object, blank: str) -> None:
    assert callable(spell)
    assert normal_email(blank + spell(address) + blank) == normal_email(address)


@given(EMAILS, WORDS)
def test_plus_tags_and_dots_are_kept_because_they_may_be_another_person(address: str, tag: str) -> None:
    name, _, domain = address.partition("@")
    assert normal_email(f"{name}+{tag}@{domain}") != normal_email(address)
    assert normal_email(f"{name}.{tag}@{domain}") != normal_email(f"{name}{tag}@{domain}")


@given(st.sampled_from(list(Channel)), st.text(max_size=60))
def test_a_normal_form_is_its_own_normal_form(channel: Channel, raw: str) -> None:
    try:
        address = normal_address(channel, raw, "DE")
    except NotAnAddress:
        return
    assert normal_address(channel, address.value) == address


@given(PHONES, st.lists(st.sampled_from([" ", "-", ".", "("]), max_size=4), st.data())
def test_punctuation_in_a_telephone_number_says_nothing(phone: str, marks: list[str], data: st.DataObject) -> None:
    written = phone
    for mark in marks:
        place = data.draw(st.integers(3, len(written)))
        written = written[:place] + mark + written[place:]
    assert normal_address(Channel.SMS, written) == normal_address(Channel.WHATSAPP, phone.removeprefix("+"))


@given(pairs())
def test_linking_is_the_same_from_both_sides(pair: tuple[Side, Side]) -> None:
    one, other = pair
    assert conflicts(one, other) == conflicts(other, one)
    assert survivor_of(one, other) == survivor_of(other, one)
    proved = one.proven | other.proven
    assert links_by_itself(one, other, proved) == links_by_itself(other, one, proved)


@given(pairs(), st.frozensets(ADDRESSES, max_size=4))
def test_nobody_links_by_a_hint(pair: tuple[Side, Side], proved: frozenset[NormalAddress]) -> None:
    one, other = pair
    hints = {identity.address for side in pair for identity in side.identities if not identity.verified}
    assert not links_by_itself(one, other, (proved | hints) - one.proven)
    assert not links_by_itself(one, other, (proved | hints) - other.proven)
    nothing_proven = Side(
        one.customer_id, one.created_at, tuple(KnownIdentity(i.address, False) for i in one.identities)
    )
    assert not links_by_itself(nothing_proven, other, proved | hints)


@given(pairs())
def test_two_different_proven_addresses_of_a_kind_never_link_by_themselves(pair: tuple[Side, Side]) -> None:
    one, other = pair
    shared_kinds = {address.kind for address in one.proven} & {address.kind for address in other.proven}
    assert {conflict.kind for conflict in conflicts(one, other)} == {kind.value for kind in shared_kinds}
    if shared_kinds:
        assert not links_by_itself(one, other, one.proven | other.proven)


@given(EMAILS, PHONES, st.lists(IDENTITIES, max_size=3))
def test_proof_of_both_links_when_nothing_stands_against_it(email: str, phone: str, hints: list[KnownIdentity]) -> None:
    unproven = tuple(KnownIdentity(hint.address, False) for hint in hints)
    one = Side("cus_1", NOW, (KnownIdentity(normal_email(email), True), *unproven))
    other = Side("cus_2", NOW, (KnownIdentity(NormalAddress(AddressKind.PHONE, phone), True), *unproven))
    assert links_by_itself(one, other, [min(one.proven, key=str), min(other.proven, key=str)])


@given(st.lists(EVIDENCE, max_size=8), EVIDENCE)
def test_a_score_is_a_probability_that_more_evidence_never_lowers(evidence: list[Evidence], more: Evidence) -> None:
    assert 0 <= score(evidence) < 1
    assert score([*evidence, more]) >= score(evidence)
    assert score(evidence) == score(reversed(evidence)) == score([*evidence, *evidence])
    assert is_worth_suggesting([more])


def test_there_is_no_cause_by_which_a_hint_links() -> None:
    assert set(LinkCause) == {LinkCause.PROVEN, LinkCause.CONFIRMED, LinkCause.BY_HAND}


@given(
    st.text(max_size=10),
    st.text(max_size=10),
    st.dictionaries(st.sampled_from([*SHARED_ATTRIBUTES, "plan"]), st.one_of(WORDS, st.booleans(), st.none())),
    st.dictionaries(st.sampled_from([*SHARED_ATTRIBUTES, "plan"]), st.one_of(WORDS, st.booleans(), st.none())),
)
def test_a_name_alone_and_a_device_alone_say_nothing(
    one_name: str, other_name: str, one: dict[str, object], other: dict[str, object]
) -> None:
    found = by_name_and_attribute(one_name, one, other_name, other)
    assert found == by_name_and_attribute(other_name, other, one_name, one)
    assert by_name_and_attribute(one_name, one, other_name, {}) == ()
    assert by_name_and_attribute("Ada", {"plan": "pro"}, "Ada", {"plan": "pro"}) == ()
    assert by_name_and_attribute("Ada", {"device_id": "d"}, "Bea", {"device_id": "d"}) == ()
    assert len(by_name_and_attribute(" ada  M", {"device_id": "d"}, "Ada m", {"device_id": "d"})) == 1


@given(st.lists(EMAILS, max_size=4), st.lists(PHONES, max_size=3), st.text(max_size=30))
def test_what_is_quoted_is_found_once_in_its_normal_form(emails: list[str], phones: list[str], noise: str) -> None:
    assume("@" not in noise and "+" not in noise)
    text = f" {noise} ".join(["", *(f"<{one.upper()}>," for one in emails), *(f"({one})" for one in phones), ""])
    found = quoted_addresses(text)
    assert len(set(found)) == len(found) <= MOST_QUOTED
    expected = {normal_email(one) for one in emails} | {NormalAddress(AddressKind.PHONE, one) for one in phones}
    assert set(found) <= expected
    if len(expected) <= MOST_QUOTED:
        assert set(found) == expected


@given(st.text(max_size=300))
def test_any_text_can_be_read_for_addresses(text: str) -> None:
    for address in quoted_addresses(text):
        assert address.kind in {AddressKind.EMAIL, AddressKind.PHONE}


@given(st.sampled_from(SEGMENTS), st.sampled_from(SEGMENTS), st.lists(WORDS), st.lists(WORDS))
def test_a_person_is_as_valued_as_the_better_of_both(one: str, other: str, mine: list[str], theirs: list[str]) -> None:
    assert higher_segment(one, other) == higher_segment(other, one)
    assert SEGMENTS.index(higher_segment(one, other)) == max(SEGMENTS.index(one), SEGMENTS.index(other))
    assert set(joined(mine, theirs)) == {*mine, *theirs}
    assert len(joined(mine, theirs)) == len({*mine, *theirs})
