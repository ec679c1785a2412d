"""Puts the API together."""

from fastapi import APIRouter, FastAPI

from api import (
    agents,
    alerts,
    blocked_addresses,
    calendars,
    channel_accounts,
    codec,
    conversation_actions,
    conversation_merges,
    conversations,
    customer_context,
    customer_events,
    customer_health,
    customer_links,
    customers,
    events,
    health,
    house_settings,
    identity_suggestions,
    intake,
    intent_corrections,
    journey_links,
    keys,
    kpis,
    me,
    offers,
    openapi,
    pools_and_skills,
    queues,
    roi,
    sla_policies,
    suggestions,
    web_chat,
    wrap_up_codes,
)
from api.authentication import KeyRing
from api.context import ApiContext
from api.events import EventBell
from api.measures import Measures
from api.middleware import install_middleware
from api.presence_watch import PresenceWatch
from api.problems import install_problem_handlers
from api.rate_limit import RateLimit
from storage.ledger.learned import LearnedFromLedger

ROUTERS: tuple[APIRouter, ...] = (
    # In the order in which a request looks for its operation: what is asked most often comes first.
    intake.router,
    web_chat.router,
    events.router,
    health.router,
    roi.router,
    kpis.router,
    me.router,
    conversations.router,
    customer_context.router,
    offers.router,
    customers.router,
    customer_links.router,
    customer_events.router,
    customer_health.router,
    identity_suggestions.router,
    blocked_addresses.router,
    pools_and_skills.router,
    wrap_up_codes.router,
    keys.router,
    house_settings.router,
    calendars.router,
    sla_policies.router,
    channel_accounts.router,
    conversation_actions.router,
    conversation_merges.router,
    intent_corrections.router,
    agents.router,
    queues.router,
    alerts.router,
    openapi.router,
    codec.router,
    suggestions.router,
    journey_links.router,
)


def create_app(context: ApiContext) -> FastAPI:
    """The whole API on what `context` gives it; opening and closing that is up to the caller."""
    app = FastAPI(
        title="Baton",
        version="1",
        summary="Customer-support routing that never drops the conversation",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    measures = Measures()
    app.state.context = context
    app.state.presence_watch = PresenceWatch(context.database)
    app.state.keys = KeyRing(context.database, seen=app.state.presence_watch.note)
    app.state.rate_limit = RateLimit(context.options.requests_per_second, context.options.request_burst)
    app.state.event_bell = EventBell(context.database)
    app.state.measures = measures
    app.state.learned = LearnedFromLedger(context.database)
    for router in ROUTERS:
        app.include_router(router)
    install_problem_handlers(app)
    install_middleware(app, measures, context.options.max_body_bytes)
    return app
