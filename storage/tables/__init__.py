"""The ledger's tables. Importing this package declares all of them on `SQLModel.metadata`."""

from storage.tables.agents import Agent, Pool, PresenceSpan, Skill
from storage.tables.conversations import Attachment, Conversation, Message, Thread
from storage.tables.customers import Customer, Identity
from storage.tables.doors import ApiKey, IdempotencyKey, OutboxSignal, UnparsedMessage
from storage.tables.journey import SuggestionRow, SurveyRow
from storage.tables.lifecycle import ClockRow, LifecycleEvent, Resolution
from storage.tables.policies import Calendar, ChannelAccount, Setting, SlaPolicyRow, WrapUpCode
from storage.tables.routing import Assignment, DispatcherLease, Offer, QueueTicket, RoutingDecision

__all__ = [
    "Agent",
    "ApiKey",
    "Assignment",
    "Attachment",
    "Calendar",
    "ChannelAccount",
    "ClockRow",
    "Conversation",
    "Customer",
    "DispatcherLease",
    "IdempotencyKey",
    "Identity",
    "LifecycleEvent",
    "Message",
    "Offer",
    "OutboxSignal",
    "Pool",
    "PresenceSpan",
    "QueueTicket",
    "Resolution",
    "RoutingDecision",
    "Setting",
    "Skill",
    "SlaPolicyRow",
    "SuggestionRow",
    "SurveyRow",
    "Thread",
    "UnparsedMessage",
    "WrapUpCode",
]
