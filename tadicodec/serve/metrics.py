"""Figures for Prometheus, of one server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Figures of one server, counted while it runs."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("tadicodec_requests", "Requests answered", ["route", "status"], registry=registry)
        self.latency = Histogram(
            "tadicodec_request_seconds", "From request to last byte", ["route"], buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("tadicodec_requests_at_work", "Requests waiting or running", registry=registry)
        self.batches = Histogram(
            "tadicodec_batch_recordings", "Recordings encoded together", buckets=SIZES, registry=registry
        )
        self.seconds = Counter("tadicodec_audio_seconds", "Audio taken in and given out", ["way"], registry=registry)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)
