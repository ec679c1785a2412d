"""The ledger's tables. Importing this package declares all of them on `SQLModel.metadata`."""

from storage.tables.agents import Agent, AgentLease, Pool, PresenceSpan, Skill
from storage.tables.conversations import Attachment, Conversation, Message, Thread
from storage.tables.customers import (
    BlockedAddress,
    Customer,
    CustomerEvent,
    CustomerLink,
    CustomerLinkMove,
    HealthSource,
    Identity,
    IdentityHint,
    IdentitySuggestion,
)
from storage.tables.doors import ApiKey, IdempotencyKey, OutboxSignal, UnparsedMessage
from storage.tables.journey import SuggestionRow, SurveyRow
from storage.tables.lifecycle import Alert, ClockRow, LifecycleEvent, Resolution
from storage.tables.merges import HandoverRow, Merge
from storage.tables.policies import Calendar, ChannelAccount, Setting, SlaPolicyRow, WrapUpCode
from storage.tables.routing import Assignment, DispatcherLease, IntentCorrection, Offer, QueueTicket, RoutingDecision

__all__ = [
    "Agent",
    "AgentLease",
    "Alert",
    "ApiKey",
    "Assignment",
    "Attachment",
    "BlockedAddress",
    "Calendar",
    "ChannelAccount",
    "ClockRow",
    "Conversation",
    "Customer",
    "CustomerEvent",
    "CustomerLink",
    "CustomerLinkMove",
    "DispatcherLease",
    "HandoverRow",
    "HealthSource",
    "IdempotencyKey",
    "Identity",
    "IdentityHint",
    "IdentitySuggestion",
    "IntentCorrection",
    "LifecycleEvent",
    "Merge",
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
