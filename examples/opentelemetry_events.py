"""Events of ckptptr as spans of OpenTelemetry: how long saves and restores take, and which of them fail.

A conflict or a retry is an event of the span that is under way. Here the spans are printed; give yours to
the exporter of your cluster. In a task, put the hook at the top of the module.

    python examples/opentelemetry_events.py /tmp/traced
"""

import sys
import time
from dataclasses import asdict

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

import ckptptr

tracer = trace.get_tracer("ckptptr")


def to_opentelemetry(event: ckptptr.Event) -> None:
    known = {f"ckptptr.{name}": value for name, value in asdict(event).items() if value is not None}
    if event.seconds is None:
        trace.get_current_span().add_event(event.name, known)
        return
    end = time.time_ns()
    span = tracer.start_span(event.name, attributes=known, start_time=end - int(event.seconds * 1e9))
    if event.error:
        span.set_status(Status(StatusCode.ERROR, event.message))
    span.end(end)


ckptptr.on_event(to_opentelemetry)


def train(url: str) -> None:
    with ckptptr.open(url) as checkpoints, tracer.start_as_current_span("training"):
        checkpoints.restore()
        for step in (1, 2):
            checkpoints.save(f"state {step}".encode(), step=step)


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
    train(sys.argv[1])
