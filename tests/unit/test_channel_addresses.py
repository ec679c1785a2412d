import pytest

from channels.addresses import normal_address
from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress, NotAnAddress


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("Ada@Cust.Example", "ada@cust.example"),
        ("  ada@cust.example ", "ada@cust.example"),
        ("ada+lamps@cust.example", "ada+lamps@cust.example"),
        ("a.d.a@cust.example", "a.d.a@cust.example"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@localhost", "ada@localhost"),
        ("jürgen@cust.example", "jürgen@cust.example"),
        ("ada@cust.example.", "ada@cust.example"),
    ],
)
def test_an_email_address_is_compared_without_case_and_in_idna(raw: str, value: str) -> None:
    assert normal_address(Channel.EMAIL, raw) == NormalAddress(AddressKind.EMAIL, value)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "ada",
        "@cust.example",
        "ada@",
        "a b@cust.example",
        "ada@cust..example",
        "ada@-cust.example",
        "a@b@c.example",
        "Ada <ada@cust.example>",
        "ada@cust.example\nBcc: x",
        "x" * 65 + "@cust.example",
        "ada@" + "x." * 130 + "example",
        "ada@[127.0.0.1]",
        '"ada byte"@cust.example',
        "ada@cust_.example",
        "\x00@cust.example",
    ],
)
def test_what_is_no_email_address_says_why(raw: str) -> None:
    with pytest.raises(NotAnAddress) as refused:
        normal_address(Channel.EMAIL, raw)
    assert refused.value.kind is AddressKind.EMAIL
    assert refused.value.reason


@pytest.mark.parametrize(
    ("channel", "raw", "region", "value"),
    [
        (Channel.SMS, "+44 20 7946 0018", None, "+442079460018"),
        (Channel.SMS, "+44 (0)20 7946 0018", None, "+442079460018"),
        (Channel.VOICE, "020 7946 0018", "GB", "+442079460018"),
        (Channel.VOICE, "tel:+442079460018", None, "+442079460018"),
        (Channel.WHATSAPP, "whatsapp:+442079460018", None, "+442079460018"),
        (Channel.WHATSAPP, "442079460018", None, "+442079460018"),
        (Channel.SMS, "+39 06 1234 5678", None, "+390612345678"),
        (Channel.SMS, "+15550001234", None, "+15550001234"),
        (Channel.SMS, "+999123456789", None, "+999123456789"),
    ],
)
def test_a_telephone_number_is_written_in_e164(channel: Channel, raw: str, region: str | None, value: str) -> None:
    assert normal_address(channel, raw, region) == NormalAddress(AddressKind.PHONE, value)


def test_one_number_is_one_address_on_every_channel_that_dials() -> None:
    seen = {normal_address(channel, "+442079460018") for channel in (Channel.SMS, Channel.WHATSAPP, Channel.VOICE)}
    assert len(seen) == 1


@pytest.mark.parametrize(
    "raw", ["", "anonymous", "12", "+", "020 7946 0018", "+44 20 79X6", "+1234567890123456", "+0123456789"]
)
def test_what_is_no_telephone_number_says_why(raw: str) -> None:
    with pytest.raises(NotAnAddress) as refused:
        normal_address(Channel.SMS, raw)
    assert refused.value.kind is AddressKind.PHONE


@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        (Channel.TELEGRAM, AddressKind.TELEGRAM),
        (Channel.SLACK, AddressKind.SLACK),
        (Channel.MESSENGER, AddressKind.MESSENGER),
        (Channel.INSTAGRAM, AddressKind.INSTAGRAM),
        (Channel.X, AddressKind.X),
        (Channel.VIDEO, AddressKind.VIDEO),
        (Channel.WEBHOOK, AddressKind.WEBHOOK),
        (Channel.WEB_CHAT, AddressKind.VISITOR),
    ],
)
def test_a_platforms_id_is_kept_as_it_is(channel: Channel, kind: AddressKind) -> None:
    assert normal_address(channel, " U0aB9 ") == NormalAddress(kind, "U0aB9")


def test_a_user_the_site_vouches_for_is_no_visitor() -> None:
    assert normal_address(Channel.WEB_CHAT, "user:42") == NormalAddress(AddressKind.SITE_USER, "user:42")


@pytest.mark.parametrize("raw", ["", "  ", "a b", "a\x00", "x" * 256, "user:"])
def test_what_is_no_platform_id_says_why(raw: str) -> None:
    with pytest.raises(NotAnAddress):
        normal_address(Channel.WEB_CHAT, raw)
