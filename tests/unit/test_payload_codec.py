from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure

from workers.settings import ProcessSettings
from workflows.payload_codec import (
    ENCODING,
    PayloadNotOurs,
    SealedPayloads,
    codec_pass,
    may_decode,
    sealed_converter,
)

SECRET = b"s" * 32
OLDER = b"o" * 32


@dataclass(frozen=True, slots=True)
class Note:
    text: str


@given(st.lists(st.builds(Payload, data=st.binary(max_size=2000)), max_size=4))
async def test_what_is_sealed_opens_again(payloads: list[Payload]) -> None:
    codec = SealedPayloads(SECRET)
    assert await codec.decode(await codec.encode(payloads)) == payloads


async def test_nothing_of_a_payload_can_be_read_or_told_apart() -> None:
    converter = sealed_converter(SECRET)
    one, two = await converter.encode([Note("Ada is furious"), Note("Ada is furious")])
    for payload in (one, two):
        assert payload.metadata["encoding"] == ENCODING
        assert b"Ada" not in payload.SerializeToString()
    assert one.data != two.data
    assert await converter.decode([one], [Note]) == [Note("Ada is furious")]


async def test_the_words_of_a_failure_are_sealed_too() -> None:
    converter = sealed_converter(SECRET)
    failure = Failure()
    await converter.encode_failure(ValueError("Ada is furious"), failure)
    assert b"Ada" not in failure.SerializeToString()
    assert "Ada is furious" in str(await converter.decode_failure(failure))


async def test_a_new_secret_still_opens_what_the_older_one_sealed() -> None:
    sealed = await SealedPayloads(OLDER).encode([Payload(data=b"x")])
    assert await SealedPayloads(SECRET, OLDER).decode(sealed) == [Payload(data=b"x")]
    with pytest.raises(PayloadNotOurs):
        await SealedPayloads(SECRET).decode(sealed)


async def test_an_altered_payload_is_refused() -> None:
    codec = SealedPayloads(SECRET)
    [sealed] = await codec.encode([Payload(data=b"x")])
    sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    with pytest.raises(PayloadNotOurs):
        await codec.decode([sealed])


async def test_what_was_never_sealed_passes() -> None:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
    assert await SealedPayloads(SECRET).decode([plain]) == [plain]


def test_a_pass_opens_its_own_deployment_only() -> None:
    assert may_decode(SECRET, codec_pass(SECRET))
    assert not may_decode(OLDER, codec_pass(SECRET))
    assert not may_decode(SECRET, "é")


@pytest.mark.parametrize("secret", ["", "not base64 at all, but long enough to be one", "c2hvcnQ="])
def test_a_process_does_not_start_with_a_secret_that_is_no_key(secret: str) -> None:
    with pytest.raises(ValidationError):
        ProcessSettings(postgres_url="postgresql://nobody", secret=secret)
