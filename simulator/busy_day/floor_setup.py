"""Before the doors open: an admin sets rules, promises, agents, customers and the mailbox over the API."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from domain.channels import Channel
from simulator.busy_day.door import Door, Json
from simulator.busy_day.pace import Pace
from simulator.busy_day.plan import DayPlan, Mishap, PlannedAgent, PlannedCustomer

SHOP_DOMAIN: Final = "shop.example"
SUPPORT_ADDRESS: Final = f"support@{SHOP_DOMAIN}"
HOTLINE: Final = "hotline"
USED_CHANNELS: Final = (Channel.WEB_CHAT, Channel.SMS, Channel.WHATSAPP, Channel.EMAIL, Channel.VOICE)
NOTE_OF_A_CALL: Final = 34
"""Units: what was said on the telephone is worked on like a letter, nobody is on the line."""
AT_ONCE: Final = 6
SHORTEST_OFFER: Final = timedelta(seconds=2)
"""However fast the day: an agent must have the time to answer over HTTP."""
SHORTEST_SILENCE: Final = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class MailSystem:
    smtp_port: int
    imap_port: int
    password: str
    signs_as: str


@dataclass(frozen=True, slots=True)
class Desk:
    agent: PlannedAgent
    agent_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Floor:
    desks: tuple[Desk, ...]
    customer_ids: Mapping[int, str]
    """By the customer's number in the plan."""
    mishaps: Mapping[str, Mishap]
    """What goes wrong once, by customer id."""
    led_to_video: frozenset[str]
    """The customers to whom a video call is suggested."""


class _Made(msgspec.Struct):
    id: str


class _MadeKey(msgspec.Struct):
    key: str


async def set_up(admin: Door, plan: DayPlan, pace: Pace, mail: MailSystem) -> Floor:
    await admin.send("PATCH", "/v1/settings", _settings(pace), msgspec.Raw)
    await admin.send("POST", "/v1/sla-policies", _promise(pace), _Made)
    await admin.send("POST", "/v1/channel-accounts", _mailbox(mail), _Made)
    desks = [await _desk(admin, agent) for agent in plan.agents]
    turn = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        adding = {one.number: tasks.create_task(_customer(admin, one, turn)) for one in plan.customers}
    customer_ids = {number: task.result() for number, task in adding.items()}
    mishaps = {customer_ids[one.number]: one.mishap for one in plan.customers if one.mishap is not Mishap.NONE}
    led = frozenset(customer_ids[one.number] for one in plan.customers if one.led_to_video is not None)
    return Floor(tuple(desks), customer_ids, mishaps, led)


def _settings(pace: Pace) -> dict[str, Json]:
    def seconds(human: timedelta, at_least: float) -> float:
        return pace.of(human, timedelta(seconds=at_least)).total_seconds()

    minute = timedelta(minutes=1)
    return {
        "offer_timeout_seconds": {
            channel.value: pace.of(minute, SHORTEST_OFFER).total_seconds() for channel in USED_CHANNELS
        },
        "auto_accept": {Channel.EMAIL.value: True},
        "capacity_costs": {Channel.VOICE.value: NOTE_OF_A_CALL},
        "wrap_up_limit_seconds": seconds(5 * minute, 2),
        "wrap_up_extension_seconds": seconds(5 * minute, 2),
        "reopen_window_seconds": seconds(60 * minute, 20),
        "idle_release_seconds": seconds(15 * minute, 8),
        "owner_grace_seconds": seconds(2 * minute, 0.5),
        "exclusion_cool_down_seconds": seconds(minute, 0.5),
        "suggestions": {"meeting_link": f"https://meet.{SHOP_DOMAIN}/{{id}}"},
        "survey": {"enabled": True, "after_seconds": seconds(minute, 1)},
        "widening": [
            {"after_seconds": seconds(minute, 0.5), "lower_levels": 1},
            {"after_seconds": seconds(3 * minute, 1), "lower_levels": 2},
            {"after_seconds": seconds(5 * minute, 2), "lower_levels": 4, "drop_skills": 1},
            {"after_seconds": seconds(10 * minute, 4), "lower_levels": 4, "drop_skills": 9},
        ],
    }


def _promise(pace: Pace) -> dict[str, Json]:
    def seconds(minutes: int, at_least: timedelta) -> float:
        return pace.of(timedelta(minutes=minutes), at_least).total_seconds()

    return {
        "name": "The busy day's promise",
        "targets": {
            "first_response_seconds": seconds(10, timedelta(seconds=8)),
            "next_response_seconds": seconds(10, timedelta(seconds=8)),
            "resolution_seconds": seconds(60, timedelta(seconds=30)),
            "owner_silence_seconds": seconds(4, SHORTEST_SILENCE),
        },
        "pause_on": ["pending_customer", "on_hold"],
    }


def _mailbox(mail: MailSystem) -> dict[str, Json]:
    def server(port: int) -> dict[str, Json]:
        return {"host": "127.0.0.1", "port": port, "encryption": "none", "user": SUPPORT_ADDRESS}

    return {
        "channel": Channel.EMAIL.value,
        "name": "support",
        "settings": {
            "address": SUPPORT_ADDRESS,
            "display_name": "Shop support",
            "imap": server(mail.imap_port),
            "smtp": server(mail.smtp_port),
            "authserv_id": mail.signs_as,
            "poll_interval_seconds": 2,
        },
        "secrets": {"imap_password": mail.password, "smtp_password": mail.password},
    }


async def _desk(admin: Door, agent: PlannedAgent) -> Desk:
    made = await admin.send(
        "POST", "/v1/agents", {"display_name": agent.name, "skills": dict(agent.skills), "languages": ["en"]}, _Made
    )
    key = await admin.send(
        "POST", "/v1/keys", {"role": "agent", "agent_id": made.id, "label": f"{agent.name}'s desk"}, _MadeKey
    )
    return Desk(agent, made.id, key.key)


def _preferred(customer: PlannedCustomer) -> list[Json]:
    """Nobody is led to a channel they do not say they like."""
    liked: list[Json] = [customer.opening.channel.value]
    return liked if customer.led_to_video is None else [*liked, Channel.VIDEO.value]


async def _customer(admin: Door, customer: PlannedCustomer, turn: asyncio.Semaphore) -> str:
    # One address may serve two channels: SMS and WhatsApp are known by the same telephone number.
    addresses = {customer.address(channel): channel for channel in USED_CHANNELS}
    body: dict[str, Json] = {
        "display_name": customer.name,
        "segment": customer.segment,
        "languages": ["en"],
        "preferred_channels": _preferred(customer),
        "identities": [
            {"channel": channel.value, "address": address, "verified": True} for address, channel in addresses.items()
        ],
    }
    async with turn:
        return (await admin.send("POST", "/v1/customers", body, _Made)).id
