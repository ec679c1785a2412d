"""Why a request to a conversation is refused: stable codes that the API shows as they are.

Refusal
├── offer_gone            the offer was taken back, timed out or answered; it is no longer yours
├── offer_unknown         the conversation knows no such offer
├── not_yours             somebody else is responsible for the conversation
├── not_waiting           a claim of a conversation that does not wait in a queue
├── wrong_state           the conversation is not in a state in which this can be done
├── no_capacity           the agent has no room for it
├── agent_not_available   the agent named is offline, unknown or does not take this channel
├── already_extended      a wrap-up is extended once
├── cannot_suggest        the channel is against the customer's preference or its hours, or was suggested before
└── conversation_ended    closed or merged: it takes no more requests
"""

from enum import StrEnum


class RefusalCode(StrEnum):
    OFFER_GONE = "offer_gone"
    OFFER_UNKNOWN = "offer_unknown"
    NOT_YOURS = "not_yours"
    NOT_WAITING = "not_waiting"
    WRONG_STATE = "wrong_state"
    NO_CAPACITY = "no_capacity"
    AGENT_NOT_AVAILABLE = "agent_not_available"
    ALREADY_EXTENDED = "already_extended"
    CANNOT_SUGGEST = "cannot_suggest"
    CONVERSATION_ENDED = "conversation_ended"


class Refusal(Exception):  # noqa: N818 -- the field's word: a request is refused, nothing failed
    """A request that the conversation does not carry out; nothing has changed."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
