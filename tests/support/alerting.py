"""A real Prometheus and Alertmanager on loopback with short hours, and what they notify."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import yaml

from exporter.demo.processes import free_port
from exporter.durations import format_duration
from exporter.render.alert_rules import render_alert_rules
from tests.support.alert_rules import ALERTS
from tests.support.observers import eventually
from tests.support.tools import require_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "127.0.0.1"
HOUR_SECONDS = 30.0
"""How long an hour of the rules lasts."""
SCRAPE_SECONDS = 1.0


class Notified(NamedTuple):
    """One alert of one notification."""

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Hook(ThreadingHTTPServer):
    """A webhook that keeps what Alertmanager posts to /<receiver>."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.notified: list[Notified] = []

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{HOST}:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def firing(self, receiver: str, **labels: str) -> list[Notified]:
        """Return the notifications to a receiver of firing alerts with these labels."""
        return [
            each
            for each in self.notified
            if each.receiver == receiver
            and each.status == "firing"
            and labels.items() <= each.labels.items()
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            self.server.notified.append(
                Notified(
                    self.path.strip("/"), alert["status"], alert["labels"], alert["annotations"]
                )
            )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Alerting:
    """Prometheus scrapes exporters, Alertmanager notifies the hook, by shipped rules and routes.

    Args:
        targets: ports of exporters, by the value that the label `database` gets.
    """

    def __init__(self, targets: Mapping[str, int]) -> None:
        self._programs = [
            require_tool(name, f"LOOM_TEST_{name.upper().replace('-', '_')}")
            for name in ("prometheus", "prometheus-alertmanager")
        ]
        self._targets = targets
        self._prometheus, self._alertmanager = free_port(), free_port()
        self._stack = contextlib.ExitStack()
        self.hook = Hook()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loom-alerts-")))
            stack.enter_context(self.hook)
            self._write_configuration(folder)
            prometheus, alertmanager = self._programs
            stack.enter_context(
                _running(
                    folder / "alertmanager.log",
                    alertmanager,
                    f"--config.file={folder / 'alertmanager.yaml'}",
                    f"--storage.path={folder / 'alertmanager'}",
                    f"--web.listen-address={HOST}:{self._alertmanager}",
                    "--cluster.listen-address=",
                )
            )
            stack.enter_context(
                _running(
                    folder / "prometheus.log",
                    prometheus,
                    f"--config.file={folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={folder / 'prometheus'}",
                    f"--web.listen-address={HOST}:{self._prometheus}",
                    "--rules.alert.resend-delay=5s",
                )
            )
            for port in (self._alertmanager, self._prometheus):
                _wait_until_ready(port)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def query(self, expression: str, at: float | None = None) -> list[dict[str, str]]:
        """Return the labels of the series that an expression gives at a Unix time, or now."""
        query = urllib.parse.urlencode({"query": expression} | ({} if at is None else {"time": at}))
        answer = _get(f"http://{HOST}:{self._prometheus}/api/v1/query?{query}")
        return [result["metric"] for result in answer["data"]["result"]]

    def firing(self, database: str, at: float) -> set[str]:
        """Return the alerts of a database that fire at a Unix time, as Prometheus sees it."""
        found = self.query(f'ALERTS{{alertstate="firing", database="{database}"}}', at)
        return {each["alertname"] for each in found}

    def rule_errors(self) -> list[str]:
        """Return what the last evaluation of each rule complained of."""
        groups = _get(f"http://{HOST}:{self._prometheus}/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return [rule["lastError"] for rule in rules if rule.get("lastError")]

    def post(self, *alerts: Mapping[str, str]) -> None:
        """Send alerts with these labels, as Prometheus does."""
        request = urllib.request.Request(
            f"http://{HOST}:{self._alertmanager}/api/v2/alerts",
            json.dumps([{"labels": dict(labels)} for labels in alerts]).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()

    def inhibited(self) -> list[Mapping[str, str]]:
        """Return the labels of the alerts that Alertmanager inhibits."""
        alerts = _get(f"http://{HOST}:{self._alertmanager}/api/v2/alerts")
        return [alert["labels"] for alert in alerts if alert["status"]["inhibitedBy"]]

    def _write_configuration(self, folder: Path) -> None:
        rules = folder / "rules"
        rules.mkdir()
        for name, text in render_alert_rules(HOUR_SECONDS).items():
            (rules / name.replace("/", "-")).write_text(text, encoding="utf-8")
        example = yaml.safe_load((ALERTS / "alertmanager.yaml").read_text(encoding="utf-8"))
        _dump(folder / "alertmanager.yaml", fast_routes(example, self.hook.url))
        every = format_duration(SCRAPE_SECONDS)
        _dump(
            folder / "prometheus.yaml",
            {
                "global": {"scrape_interval": every, "scrape_timeout": every},
                "rule_files": ["rules/*.yaml"],
                "alerting": {
                    "alertmanagers": [
                        {"static_configs": [{"targets": [f"{HOST}:{self._alertmanager}"]}]}
                    ]
                },
                "scrape_configs": [
                    _scrape_config(name, port) for name, port in self._targets.items()
                ],
            },
        )


def fast_routes(document: dict[str, Any], hook: str) -> dict[str, Any]:
    """Return the configuration of Alertmanager with waits of a second and a hook for receivers.

    Args:
        document: the configuration.
        hook: a URL; the name of the receiver is put behind it.
    """
    return {
        "route": _fast_route(document["route"]),
        "inhibit_rules": document["inhibit_rules"],
        "receivers": [
            {
                "name": receiver["name"],
                "webhook_configs": [{"url": f"{hook}/{receiver['name']}"}],
            }
            for receiver in document["receivers"]
        ],
    }


def _fast_route(route: dict[str, Any]) -> dict[str, Any]:
    return {
        **route,
        "group_wait": "1s",
        "group_interval": "1s",
        "repeat_interval": "2s",
        **(
            {"routes": [_fast_route(each) for each in route["routes"]]} if "routes" in route else {}
        ),
    }


def _scrape_config(database: str, port: int) -> dict[str, Any]:
    return {
        "job_name": f"loom-exporter-{database}",
        "static_configs": [{"targets": [f"{HOST}:{port}"]}],
        # All exporters name their database the same.
        "metric_relabel_configs": [
            {"source_labels": ["database"], "regex": ".+", "target_label": "database",
             "replacement": database}
        ],
    }  # fmt: skip


@contextlib.contextmanager
def _running(log: Path, *command: object) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(port: int) -> None:
    def is_ready() -> bool:
        url = f"http://{HOST}:{port}/-/ready"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    eventually(f"what listens on port {port} is ready", is_ready)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _dump(path: Path, document: Any) -> None:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
