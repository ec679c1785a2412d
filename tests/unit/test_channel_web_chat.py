import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from channels.own_form import InvalidMessage
from channels.registry import adapter_for
from channels.web_chat.adapter import ChatMessage, inbound_chat_message
from channels.web_chat.visitor_token import (
    IdentityProofRefused,
    VerifiedIdentity,
    Visitor,
    VisitorTokenRefused,
    identity_proof,
    issue_visitor_token,
    proven_identity,
    read_visitor_token,
)
from domain.channels import Channel, MessageKind

SECRET = b"a secret of thirty-two bytes, ok?"
SITE_SECRET = b"the site's own"
NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANONYMOUS = Visitor("vis_1", "shop", None, LATER)
ADA = VerifiedIdentity("42", "ada@cust.example")


@pytest.mark.parametrize("identity", [None, VerifiedIdentity("42"), ADA])
def test_a_token_says_who_it_was_issued_for(identity: VerifiedIdentity | None) -> None:
    token = issue_visitor_token(SECRET, "vis_1", "shop", identity, LATER)
    assert read_visitor_token(SECRET, token, "shop", NOW) == Visitor("vis_1", "shop", identity, LATER)


def test_a_token_expires() -> None:
    token = issue_visitor_token(SECRET, "vis_1", "shop", None, LATER)
    with pytest.raises(VisitorTokenRefused):
        read_visitor_token(SECRET, token, "shop", LATER + timedelta(seconds=1))


def test_a_token_is_good_for_its_own_account_only() -> None:
    token = issue_visitor_token(SECRET, "vis_1", "shop", None, LATER)
    with pytest.raises(VisitorTokenRefused):
        read_visitor_token(SECRET, token, "bank", NOW)


def test_a_token_of_another_secret_is_refused() -> None:
    token = issue_visitor_token(b"x" * 32, "vis_1", "shop", ADA, LATER)
    with pytest.raises(VisitorTokenRefused):
        read_visitor_token(SECRET, token, "shop", NOW)


def test_a_token_signed_another_way_is_refused() -> None:
    claims = {"sub": "vis_1", "aud": "baton:web_chat:shop", "exp": int(LATER.timestamp())}
    other = jwt.encode({"alg": "HS512"}, claims, OctKey.import_key(SECRET * 2), algorithms=["HS512"])
    unsigned = "eyJhbGciOiJub25lIn0." + other.split(".")[1] + "."
    for token in (other, unsigned):
        with pytest.raises(VisitorTokenRefused):
            read_visitor_token(SECRET, token, "shop", NOW)


def test_a_token_without_an_end_is_refused() -> None:
    token = jwt.encode({"alg": "HS256"}, {"sub": "v", "aud": "baton:web_chat:shop"}, OctKey.import_key(SECRET))
    with pytest.raises(VisitorTokenRefused):
        read_visitor_token(SECRET, token, "shop", NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "." * 9, "a" * 10_000])
def test_nonsense_is_refused_not_crashed_on(token: str) -> None:
    with pytest.raises(VisitorTokenRefused):
        read_visitor_token(SECRET, token, "shop", NOW)


def test_a_weak_secret_is_not_signed_with() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        issue_visitor_token(b"short", "vis_1", "shop", None, LATER)


def test_a_visitor_can_not_be_named_like_a_user_of_the_site() -> None:
    with pytest.raises(ValueError, match="vouches"):
        issue_visitor_token(SECRET, "user:42", "shop", None, LATER)


def test_the_sites_proof_is_a_plain_hmac_any_language_can_compute() -> None:
    assert identity_proof(SITE_SECRET, "42") == hmac.new(SITE_SECRET, b"42", hashlib.sha256).hexdigest()


def test_a_user_the_site_vouches_for_is_identified() -> None:
    assert proven_identity(SITE_SECRET, "42", None, identity_proof(SITE_SECRET, "42")) == VerifiedIdentity("42")


def test_an_email_counts_only_if_the_proof_covers_it() -> None:
    assert proven_identity(SITE_SECRET, "42", ADA.email, identity_proof(SITE_SECRET, "42", ADA.email)) == ADA
    assert proven_identity(SITE_SECRET, "42", ADA.email, identity_proof(SITE_SECRET, "42")) == VerifiedIdentity("42")


@pytest.mark.parametrize(
    ("secret", "user_id", "proof"),
    [
        (SITE_SECRET, "43", identity_proof(SITE_SECRET, "42")),
        (b"another", "42", identity_proof(SITE_SECRET, "42")),
        (b"", "42", identity_proof(b"", "42")),
        (SITE_SECRET, "", identity_proof(SITE_SECRET, "")),
        (SITE_SECRET, "42\na@b.example", identity_proof(SITE_SECRET, "42", "a@b.example")),
        (SITE_SECRET, "42", ""),
        (SITE_SECRET, "42", "é"),
    ],
)
def test_a_proof_that_does_not_fit_identifies_nobody(secret: bytes, user_id: str, proof: str) -> None:
    with pytest.raises(IdentityProofRefused):
        proven_identity(secret, user_id, None, proof)


def test_a_posted_chat_message_becomes_our_form() -> None:
    message = inbound_chat_message(ChatMessage("c1", "ses_1", "It hums.\r\nLoud."), ANONYMOUS, NOW)
    assert message.channel is Channel.WEB_CHAT
    assert message.account == "shop"
    assert message.thread_key == "ses_1"
    assert message.provider_message_id == "vis_1:c1"
    assert message.text == "It hums.\nLoud."
    assert message.sent_at == NOW
    assert (message.sender.address, message.sender.verified) == ("vis_1", False)


def test_one_visitors_message_ids_never_meet_anothers() -> None:
    other = Visitor("vis_2", "shop", None, LATER)
    posted = ChatMessage("1", "ses_1", "hi")
    assert (
        inbound_chat_message(posted, ANONYMOUS, NOW).provider_message_id
        != inbound_chat_message(posted, other, NOW).provider_message_id
    )


def test_a_typed_email_is_a_hint_and_no_identity() -> None:
    posted = ChatMessage("c1", "ses_1", "hi", typed_name="Ada", typed_email="Ada@Cust.example")
    message = inbound_chat_message(posted, ANONYMOUS, NOW)
    assert not message.sender.verified
    assert [(other.address, other.verified) for other in message.other_addresses] == [("ada@cust.example", False)]


def test_a_typed_email_that_is_none_is_no_hint() -> None:
    posted = ChatMessage("c1", "ses_1", "hi", typed_email="call me")
    assert inbound_chat_message(posted, ANONYMOUS, NOW).other_addresses == ()


def test_a_signed_in_user_is_verified_under_the_sites_id() -> None:
    visitor = Visitor("vis_1", "shop", ADA, LATER)
    message = inbound_chat_message(ChatMessage("c1", "s", "hi", typed_email="ada@cust.example"), visitor, NOW)
    assert (message.sender.address, message.sender.verified) == ("user:42", True)
    assert [(other.address, other.verified) for other in message.other_addresses] == [("ada@cust.example", True)]


def test_thanks_in_a_chat_close() -> None:
    assert (
        inbound_chat_message(ChatMessage("c1", "s", "thanks, bye"), ANONYMOUS, NOW).kind is MessageKind.CLOSING_THANKS
    )


@pytest.mark.parametrize(
    ("posted", "pointer"),
    [
        (ChatMessage("c1", "s", "  "), "/text"),
        (ChatMessage("c1", "s", "x" * 20_001), "/text"),
        (ChatMessage("", "s", "hi"), "/client_message_id"),
        (ChatMessage("c1", "s\n", "hi"), "/session_id"),
        (ChatMessage("c1", "s", "hi", typed_name="x" * 201), "/name"),
    ],
)
def test_a_post_that_breaks_the_form_is_told_where(posted: ChatMessage, pointer: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        inbound_chat_message(posted, ANONYMOUS, NOW)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_chat_answers_are_pulled() -> None:
    assert adapter_for(Channel.WEB_CHAT).capabilities.delivers == "pull"
