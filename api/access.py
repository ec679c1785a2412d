"""Who may call what: one matrix, deny by default.

The matrix says which role may use an operation at all; what of it they see or change is decided by their pool and
their agent (see `api.sight`). OWASP API Security Top 10 2023, API1 and API5.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    ADAPTER = "adapter"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: an API key, what it may do, and the agent or channel account it acts for."""

    key_id: str
    role: Role
    digest: bytes
    agent_id: str | None = None
    pool: str | None = None
    channel_account: str | None = None

    @property
    def is_supervising(self) -> bool:
        return self.role in {Role.SUPERVISOR, Role.ADMIN}


PUBLIC: Final[frozenset[Role]] = frozenset()
"""Open to anybody: the operation proves its caller by other means, or has nothing to hide."""

_ADAPTER: Final = frozenset({Role.ADAPTER, Role.ADMIN})
_DESK: Final = frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN})
_SUPERVISION: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})
_ADMINISTRATION: Final = frozenset({Role.ADMIN})
_AGENT: Final = frozenset({Role.AGENT})
_EVERYBODY: Final = frozenset(Role)

_RULES: Final = {
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /docs": PUBLIC,
    "POST /v1/codec/{codec_pass}/decode": PUBLIC,
    "POST /v1/codec/{codec_pass}/encode": PUBLIC,
    "POST /v1/messages": _ADAPTER,
    "POST /v1/web-chat/{account}/sessions": PUBLIC,
    "POST /v1/web-chat/{account}/messages": PUBLIC,
    "GET /v1/web-chat/{account}/messages": PUBLIC,
    "GET /v1/web-chat/{account}/events": PUBLIC,
    "POST /v1/web-chat/{account}/end": PUBLIC,
    "GET /v1/me": _EVERYBODY,
    "PUT /v1/me/presence": _AGENT,
    "GET /v1/offers": _DESK,
    "POST /v1/offers/{id}/accept": _AGENT,
    "POST /v1/offers/{id}/decline": _AGENT,
    "GET /v1/conversations": _DESK,
    "GET /v1/conversations/{id}": _DESK,
    "GET /v1/conversations/{id}/timeline": _DESK,
    "GET /v1/conversations/{id}/context": _DESK,
    "GET /v1/conversations/{id}/context/messages": _DESK,
    "GET /v1/conversations/{id}/context/conversations": _DESK,
    "GET /v1/conversations/{id}/context/events": _DESK,
    "GET /v1/conversations/{id}/routing": _DESK,
    "POST /v1/conversations/{id}/intent": _DESK,
    "POST /v1/conversations/{id}/claim": _AGENT,
    "POST /v1/conversations/{id}/messages": _DESK,
    "POST /v1/conversations/{id}/transfer": _DESK,
    "POST /v1/conversations/{id}/hold": _DESK,
    "POST /v1/conversations/{id}/resume": _DESK,
    "POST /v1/conversations/{id}/resolve": _DESK,
    "POST /v1/conversations/{id}/wrap-up/end": _DESK,
    "POST /v1/conversations/{id}/wrap-up/extend": _DESK,
    "POST /v1/conversations/{id}/reopen": _DESK,
    "POST /v1/conversations/{id}/merge": _DESK,
    "POST /v1/conversations/{id}/unmerge": _DESK,
    "POST /v1/conversations/{id}/threads/{thread_id}/split": _DESK,
    "POST /v1/conversations/{id}/reassign": _SUPERVISION,
    "POST /v1/conversations/{id}/escalate": _DESK,
    "POST /v1/conversations/{id}/close": _DESK,
    "GET /v1/alerts": _SUPERVISION,
    "POST /v1/alerts/{id}/acknowledge": _SUPERVISION,
    "GET /v1/conversations/{id}/suggestions": _DESK,
    "POST /v1/conversations/{id}/suggestions": _DESK,
    "GET /v1/suggest-channel": _ADAPTER | _DESK,
    "GET /v1/s/{token}": PUBLIC,
    "POST /v1/s/{token}": PUBLIC,
    "GET /v1/queues": _SUPERVISION,
    "GET /v1/agents": _SUPERVISION,
    "GET /v1/agents/{id}": _SUPERVISION,
    "PATCH /v1/agents/{id}": _SUPERVISION,
    "GET /v1/kpis": _SUPERVISION,
    "GET /v1/kpis.csv": _SUPERVISION,
    "GET /v1/kpis/roi": _SUPERVISION,
    "GET /v1/wrap-up-codes": _DESK,
    "GET /v1/skills": _DESK,
    "GET /v1/pools": _DESK,
    "GET /v1/events": _DESK,
    "POST /v1/agents": _ADMINISTRATION,
    "GET /v1/customers": _ADMINISTRATION,
    "POST /v1/customers": _ADMINISTRATION,
    "GET /v1/customers/{id}": _ADMINISTRATION,
    "PATCH /v1/customers/{id}": _ADMINISTRATION,
    "POST /v1/customers/{id}/identities": _ADMINISTRATION,
    "POST /v1/customers/{id}/link": _SUPERVISION,
    "POST /v1/customers/{id}/unlink": _SUPERVISION,
    "GET /v1/customers/{id}/links": _SUPERVISION,
    "POST /v1/customers/{id}/events": _ADMINISTRATION,
    "POST /v1/customer-events/import": _ADMINISTRATION,
    "POST /v1/customer-events/import.csv": _ADMINISTRATION,
    "POST /v1/customer-health": _ADMINISTRATION,
    "GET /v1/health-sources": _ADMINISTRATION,
    "POST /v1/health-sources": _ADMINISTRATION,
    "GET /v1/health-sources/{id}": _ADMINISTRATION,
    "PATCH /v1/health-sources/{id}": _ADMINISTRATION,
    "GET /v1/identity-suggestions": _DESK,
    "POST /v1/identity-suggestions/{id}/confirm": _DESK,
    "POST /v1/identity-suggestions/{id}/reject": _DESK,
    "GET /v1/blocked-addresses": _SUPERVISION,
    "POST /v1/blocked-addresses": _SUPERVISION,
    "DELETE /v1/blocked-addresses/{id}": _SUPERVISION,
    "POST /v1/skills": _ADMINISTRATION,
    "POST /v1/pools": _ADMINISTRATION,
    "POST /v1/wrap-up-codes": _ADMINISTRATION,
    "PATCH /v1/wrap-up-codes/{code}": _ADMINISTRATION,
    "GET /v1/sla-policies": _ADMINISTRATION,
    "POST /v1/sla-policies": _ADMINISTRATION,
    "GET /v1/sla-policies/{id}": _ADMINISTRATION,
    "PATCH /v1/sla-policies/{id}": _ADMINISTRATION,
    "GET /v1/calendars": _ADMINISTRATION,
    "POST /v1/calendars": _ADMINISTRATION,
    "GET /v1/calendars/{id}": _ADMINISTRATION,
    "PATCH /v1/calendars/{id}": _ADMINISTRATION,
    "GET /v1/channel-accounts": _ADMINISTRATION,
    "POST /v1/channel-accounts": _ADMINISTRATION,
    "GET /v1/channel-accounts/{id}": _ADMINISTRATION,
    "PATCH /v1/channel-accounts/{id}": _ADMINISTRATION,
    "GET /v1/keys": _ADMINISTRATION,
    "POST /v1/keys": _ADMINISTRATION,
    "DELETE /v1/keys/{id}": _ADMINISTRATION,
    "GET /v1/settings": _ADMINISTRATION,
    "PATCH /v1/settings": _ADMINISTRATION,
}

_PARAMETER: Final = re.compile(r"\{[^}]*\}")


def _operation(method: str, path: str) -> str:
    return f"{method} {_PARAMETER.sub('{}', path)}"


_MATRIX: Final = {_operation(*rule.split(" ", 1)): roles for rule, roles in _RULES.items()}


def roles_for(method: str, path: str) -> frozenset[Role] | None:
    """The roles that may use an operation; `PUBLIC` is open to all, None is open to nobody."""
    return _MATRIX.get(_operation(method, path))
