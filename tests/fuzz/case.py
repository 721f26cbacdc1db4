"""One case: a bucket that differs from the start, and what is done there; as it is kept in a file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.start import Start, start

KEPT = Path(__file__).with_name("kept")


@dataclass(frozen=True)
class Case:
    """`put` and `drop` are what the bucket has and lacks beside `start(prefix)`; `run` is a line of words.
    `ends`: how it must end, if that was wrong once."""

    prefix: str
    put: Mapping[str, bytes]
    drop: tuple[str, ...]
    run: tuple[str, ...]
    ends: str = ""

    @property
    def begin(self) -> Start:
        return start(self.prefix)

    @property
    def objects(self) -> dict[str, bytes]:
        kept = {key: body for key, body in self.begin.objects.items() if key not in self.drop}
        return {**kept, **self.put}

    def to_text(self) -> str:
        put = {key: _text(body) for key, body in self.put.items()}
        told = {"prefix": self.prefix, "put": put, "drop": self.drop, "run": self.run, "ends": self.ends}
        return json.dumps(told, indent=1) + "\n"

    @staticmethod
    def from_text(text: str) -> Case:
        told = json.loads(text)
        put = {key: _body(each) for key, each in told["put"].items()}
        return Case(told["prefix"], put, tuple(told["drop"]), tuple(told["run"]), told["ends"])


@dataclass(frozen=True)
class Told:
    """What a pod is told: the paths that Flyte gives, and the environment."""

    home: str
    previous: str | None
    outputs: str | None
    environ: Mapping[str, str]
    ends: str = ""

    def to_text(self) -> str:
        return json.dumps(vars(self), indent=1) + "\n"


def keep(case: Case | Told) -> Path:
    """Write it into a file whose name is made of its content."""
    text, name = case.to_text(), case.run[0].replace(" ", "-") if isinstance(case, Case) else "environment"
    path = KEPT / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text)
    return path


def kept() -> Iterator[tuple[str, Case | Told]]:
    """All that are in the repository, with the names of their files."""
    for path in sorted(KEPT.glob("*.json")):
        text = path.read_text()
        yield (
            path.stem,
            Told(**json.loads(text)) if path.stem.startswith("environment") else Case.from_text(text),
        )


def _text(body: bytes) -> str | dict[str, str]:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _body(told: str | dict[str, str]) -> bytes:
    return told.encode() if isinstance(told, str) else base64.b64decode(told["base64"])
