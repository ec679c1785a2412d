"""The floor at a glance, for somebody who watches the terminal."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulator.busy_day.news import News

_COUNTED = (
    "message_received",
    "offered",
    "accepted",
    "offer_declined",
    "offer_timed_out",
    "replied",
    "rerouted",
    "resolved",
    "reopened",
    "sla_breached",
)


class LiveView:
    """Renders anew whenever it is asked; it belongs in a `rich.live.Live`."""

    def __init__(self, news: News, api_url: str, temporal_ui_url: str, conversations: int) -> None:
        self._news = news
        self._heading = f"API {api_url}/docs   Temporal UI {temporal_ui_url}   {conversations} conversations planned"

    def __rich__(self) -> RenderableType:
        counts = Table(expand=True)
        for kind in _COUNTED:
            counts.add_column(kind.replace("_", " "), justify="right")
        counts.add_row(*(str(self._news.kinds[kind]) for kind in _COUNTED))
        lines = [
            Text(f"{event.at:%H:%M:%S}  {event.kind:<18} {event.conversation_id or ''} {event.agent_id or ''}")
            for event in self._news.latest
        ]
        return Panel(Group(Text(self._heading), counts, *lines), title="Baton: a busy day")
