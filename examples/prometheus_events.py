"""Events of ckptptr as metrics of Prometheus: saves and errors, their time and bytes, and when the last was.

Here the program asks itself, as Prometheus would. In a task, put the hook and `start_http_server` at the
top of the module; a pod that is too short for Prometheus pushes to a gateway at its end.

    python examples/prometheus_events.py /tmp/counted
"""

import sys
import urllib.request

from prometheus_client import Counter, Gauge, Histogram, start_http_server

import ckptptr

EVENTS = Counter("ckptptr_events", "What happened.", ["name", "verdict", "error"])
SECONDS = Histogram("ckptptr_seconds", "How long it took.", ["name"], buckets=(0.1, 1, 10, 60, 600))
BYTES = Counter("ckptptr_bytes", "Payload that was moved or deleted.", ["name"])
LAST_SAVE = Gauge("ckptptr_last_save_timestamp_seconds", "When the last save was confirmed.")


def to_prometheus(event: ckptptr.Event) -> None:
    EVENTS.labels(event.name, event.verdict or "", event.error or "").inc()
    if event.seconds is not None:
        SECONDS.labels(event.name).observe(event.seconds)
    if event.bytes:
        BYTES.labels(event.name).inc(event.bytes)
    if event.name == "save" and event.verdict in {"target", "history"}:
        LAST_SAVE.set_to_current_time()


ckptptr.on_event(to_prometheus)


def train(url: str) -> None:
    with ckptptr.open(url) as checkpoints:
        checkpoints.restore()
        for step in (1, 2):
            checkpoints.save(f"state {step}".encode(), step=step)


if __name__ == "__main__":
    server, thread = start_http_server(0, addr="127.0.0.1")
    train(sys.argv[1])
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
        print(answer.read().decode())
    server.shutdown()
