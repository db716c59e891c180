"""One look at a running server: the counters of its models, and what its metrics page adds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from harness.errors import HarnessError, UsageError
from harness.triton.client.connection import Connection
from harness.triton.client.url import ServerUrl
from harness.triton.counters.metrics import Page, gpu_gauges, parse
from harness.triton.counters.scrape import Scraper, same_host
from harness.triton.counters.statistics import counters

PENDING = "nv_inference_pending_request_count"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and when: monotonic ns of the middle of the call, and the time of day."""

    t_ns: int
    unix: float
    counters: Mapping[str, Mapping[str, float]]
    """Model → its counters over all versions, as `harness.triton.counters.statistics` has them."""
    pending: Mapping[str, float] = field(default_factory=dict)
    """Model → requests that waited for execution at that moment; empty where it is not known."""
    gpus: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """UUID → utilisation, memory and power, as `harness.triton.counters.metrics` has them."""
    metrics_problem: str = ""
    """Why the metrics page could not be read; empty where it was, or nobody asked for it."""


class Reader:
    """Reads a server again and again; a connection that failed is opened anew. A context manager.

    `models` are those that are looked at, by default all. `metrics` is the address of the metrics
    page; None means Triton's usual port beside the server, which need not answer.
    """

    def __init__(
        self, url: ServerUrl, models: Collection[str] = (), metrics: str | None = None
    ) -> None:
        self._url, self._models, self._asked = url, tuple(models), metrics is not None
        page = metrics or url.metrics
        self._connection: Connection | None = None
        self._scraper: Scraper | None = None
        if page is not None:
            own = same_host(page, url.address)  # headers and certificates are for their host only
            self._scraper = Scraper(page, url.access if own else None)

    def read(self) -> Reading:
        """One reading. Raises ServerError where nobody answers, UsageError for an unknown model."""
        try:
            return self._read()
        except HarnessError:
            self._disconnect()
            raise

    def _read(self) -> Reading:
        connection = self._connection = self._connection or self._url.connect()
        with connection.setting_up():
            begin = time.monotonic_ns()
            said = connection.client.get_inference_statistics("", **connection.as_json)
            t_ns, unix = (begin + time.monotonic_ns()) // 2, time.time()
        there = dict.fromkeys(str(m["name"]) for m in said.get("model_stats", ()))
        if unknown := [name for name in self._models if name not in there]:
            raise UsageError(
                f"{self._url.text} has no model {', '.join(unknown)}; it has "
                f"{', '.join(there) or 'none that is loaded'}"
            )
        found = {name: counters(said, name) for name in self._models or there}
        page, problem = self._page()
        pending = {} if page is None else {
            name: waiting
            for name in found
            if (waiting := page.total(PENDING, model=name)) is not None
        }  # fmt: skip
        gpus = {} if page is None else gpu_gauges([page])
        return Reading(t_ns, unix, found, pending, gpus, problem)

    def _page(self) -> tuple[Page | None, str]:
        if self._scraper is None:
            return None, ""
        text = self._scraper.page()
        if text is None:
            return None, self._scraper.problem if self._asked else ""
        try:
            page, problem = parse(text), ""
        except ValueError as error:
            page, problem = None, f"the server's metrics make no sense: {error}"
        if page is not None and not page.samples:
            problem = "the server's metrics page is empty"
        return page, problem if self._asked else ""

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disconnect()
