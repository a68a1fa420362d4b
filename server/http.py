"""/healthz and /metrics on loopback. Nothing here names anybody: counts and states only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Numbers = Mapping[str, float]
Labelled = Mapping[str, tuple[str, Numbers]]  # metric -> name of its label, and the number of each value


class _Snapshot(Collector):
    """Reads the daemon's figures at each scrape."""

    def __init__(
        self, counters: Callable[[], Numbers], gauges: Callable[[], Numbers], labelled: Callable[[], Labelled]
    ) -> None:
        self._counters = counters
        self._gauges = gauges
        self._labelled = labelled

    def collect(self) -> Iterable[Metric]:
        for name, value in self._counters().items():
            yield CounterMetricFamily(f"beffroi_{name}", name.replace("_", " "), value=value)
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"beffroi_{name}", name.replace("_", " "), value=value)
        for name, (label, values) in self._labelled().items():
            family = GaugeMetricFamily(f"beffroi_{name}", name.replace("_", " "), labels=[label])
            for which, value in values.items():
                family.add_metric([which], value)
            yield family


def application(
    health: Callable[[], Awaitable[Mapping[str, bool]]],
    counters: Callable[[], Numbers],
    gauges: Callable[[], Numbers],
    labelled: Callable[[], Labelled] = dict,
) -> web.Application:
    """``health``: the parts of the daemon and whether each works; all of them, or /healthz answers 503."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(counters, gauges, labelled))

    async def healthz(_request: web.Request) -> web.Response:
        parts = await health()
        body = json.dumps({"ok": all(parts.values()), "parts": dict(parts)})
        return web.Response(text=body, status=200 if all(parts.values()) else 503, content_type="application/json")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


async def start(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve until ``cleanup`` of what is returned. Raises OSError when the port is taken."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
