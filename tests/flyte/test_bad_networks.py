"""The main job over bad networks: the real `pyflyte-execute`, each cloud's server, and a proxy that fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ckptptr.testing.attempts import Attempt
from ckptptr.testing.conformance.faults import GATEWAY_PAGES
from tests.flyte.places import COUNTED_ON, IN_THE_MIDDLE_OF_SAVE_4, Place
from tests.servers.gcs import refused
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute

OURS = "_ckptptr|_flytecheckpoints|ifGenerationMatch"  # and not what flytekit itself reads and writes
START = 60.0  # seconds that a busy machine may take to start and to end a pod
BUDGET = 15.0  # seconds of pauses for one request, at most; see `ckptptr.stores.wrappers.retry`
PAYLOAD = "_flytecheckpoints(/|%2F)data"
MANIFEST = "_flytecheckpoints(/|%2F)manifests"


@dataclass(frozen=True)
class Dialect:
    """How a cloud words its troubles, and how its writes are known by their URLs."""

    busy: Callable[..., Rule]
    throttled: Callable[..., Rule]
    denied: Callable[..., Rule]
    permission: str
    replaces_latest: Mapping[str, Any]
    uploads_payload: Mapping[str, Any]


def worded(status: int, code: str) -> Callable[..., Rule]:
    return lambda **rule: Rule(status=status, code=code, **rule)


def in_json(status: int, reason: str) -> Callable[..., Rule]:
    return lambda **rule: refused(status, reason, **rule)


DIALECTS = {
    "s3": Dialect(
        busy=worded(503, "SlowDown"),
        throttled=worded(429, "TooManyRequests"),
        denied=worded(403, "AccessDenied"),
        permission="s3:GetObject",
        replaces_latest={"method": "PUT", "path": "/LATEST"},
        uploads_payload={"method": "PUT", "path": PAYLOAD},
    ),
    # Names are in the body. What is replaced is LATEST, and twice before that the probe's object.
    "gcs": Dialect(
        busy=in_json(503, "backendError"),
        throttled=in_json(429, "rateLimitExceeded"),
        denied=in_json(403, "forbidden"),
        permission="storage.objects.get",
        replaces_latest={"method": "POST", "path": "ifGenerationMatch=[1-9]", "skip": 2},
        uploads_payload={"method": "POST", "path": "uploadType=multipart$"},
    ),
    "azure": Dialect(
        busy=worded(503, "ServerBusy"),
        throttled=worded(429, "TooManyRequests"),
        denied=worded(403, "AuthorizationPermissionMismatch"),
        permission="blobs/read",
        replaces_latest={"method": "PUT", "path": "/LATEST"},
        uploads_payload={"method": "PUT", "path": PAYLOAD},
    ),
}


@pytest.fixture(params=DIALECTS)
def cloud_name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def dialect(cloud_name: str) -> Dialect:
    return DIALECTS[cloud_name]


@pytest.fixture
def proxy(request: pytest.FixtureRequest, cloud_name: str) -> FaultProxy:
    chosen: FaultProxy = request.getfixturevalue(f"{cloud_name}_proxy")
    return chosen


@pytest.fixture(scope="module")
def left() -> dict[str, dict[str, bytes]]:
    """What attempt 0 left on each cloud, by the key below the root: it runs once for all tests."""
    return {}


@pytest.fixture
def place(request: pytest.FixtureRequest, cloud_name: str, left: dict[str, dict[str, bytes]]) -> Place:
    """Attempt 0 died in the middle of its fourth save; from now on the network is bad."""
    chosen: Place = request.getfixturevalue(f"on_{cloud_name}")
    tasks = str(Path(__file__).parent / "tasks")
    node = replace(chosen.node, module="padded_counter", folder=tasks)
    if cloud_name in left:
        for key, body in left[cloud_name].items():
            chosen.store.upload(f"{chosen.root}{key}", [body])
    else:
        assert node.run(0, IN_THE_MIDDLE_OF_SAVE_4).signal == 9
        left[cloud_name] = {
            key.removeprefix(chosen.root): chosen.store.read(key)[0] for key in chosen.keys(chosen.root)
        }
    return replace(chosen, simulated=node)


def shown(place: Place, attempt: Attempt) -> list[str]:
    """The secrets of the pod that are in its log, its error, or in any of our control objects."""
    written = [key for key in place.keys(place.root) if "/manifests/" in key or "/_ckptptr/" in key]
    assert len(written) > 1
    texts = [attempt.log, attempt.error, *(place.store.read(key)[0].decode() for key in written)]
    forms = {form for secret in place.secrets for form in (secret, quote(secret), quote(secret, safe=""))}
    assert forms
    return [form for form in forms if any(form in text for text in texts)]


def test_an_attempt_survives_everything_that_a_bad_network_does_in_one_life(
    place: Place, proxy: FaultProxy, dialect: Dialect
) -> None:
    troubles = [
        Rule(drop="after", **dialect.replaces_latest),
        dialect.throttled(answer={"Retry-After": "1"}, **dialect.uploads_payload),
        dialect.busy(method="GET", path="LATEST", times=2),
        Rule(method="GET", path=MANIFEST, delay=1.0),
        Rule(method="GET", path=PAYLOAD, cut=200_000),
        Rule(method="GET", path=PAYLOAD, corrupt=True),
    ]
    for trouble in troubles:
        proxy.add(trouble)
    attempt = place.node.run(1)
    assert attempt.outputs == COUNTED_ON, attempt.log
    assert [trouble for trouble in troubles if trouble.times] == []  # each has happened
    pointer = place.pointer()
    assert (pointer["attempt"], pointer["fence"], pointer["held"]) == (1, 1, False)
    manifest = json.loads(place.store.read(f"{place.root}/{pointer['checkpoint']}")[0])
    (file,) = manifest["files"]
    payload = f"{place.home(1)}/{file['object']}"
    assert b"".join(place.store.download(payload, 0, file["size"])).rstrip() == b"8"
    assert "heard ckptptr: " in attempt.log
    assert shown(place, attempt) == []


def test_a_refused_latest_is_reported_with_its_name_and_the_permission_and_retried_by_flyte(
    place: Place, proxy: FaultProxy, dialect: Dialect
) -> None:
    proxy.add(dialect.denied(method="GET", path="LATEST", times=None))
    failed = place.node.run(1)
    proxy.reset()
    assert failed.kind == "RECOVERABLE", failed.log
    assert "AccessDeniedError" in failed.error
    assert place.store.url(place.latest) in failed.error
    assert dialect.permission in failed.error
    assert shown(place, failed) == []


def test_a_blip_of_a_gateways_pages_is_recoverable_and_never_a_fresh_start(
    place: Place, proxy: FaultProxy, dialect: Dialect
) -> None:
    page: dict[str, Any] = {"body": GATEWAY_PAGES[0], "code": ""}
    proxy.add(Rule(path=OURS, status=404, times=None, **page))
    failed = place.node.run(1)
    proxy.reset()
    assert failed.kind == "RECOVERABLE", failed.log
    assert "StoreUnavailableError" in failed.error
    assert place.pointer()["attempt"] == 0
    blips = [
        Rule(method="GET", path="LATEST", status=404, times=3, **page),
        Rule(method="GET", path=MANIFEST, status=404, **page),
        Rule(method="GET", path=PAYLOAD, status=416, **page),
        Rule(status=412, **dialect.replaces_latest, **page),
    ]
    for blip in blips:
        proxy.add(blip)
    attempt = place.node.run(2)
    assert attempt.outputs == COUNTED_ON, attempt.log
    assert [blip for blip in blips if blip.times] == []  # each has happened


def test_an_endpoint_that_is_gone_is_given_up_in_time_and_retried_by_flyte(
    place: Place, proxy: FaultProxy, dialect: Dialect
) -> None:
    proxy.add(dialect.busy(path=OURS, times=None))
    begun = time.monotonic()
    failed = place.node.run(1)
    took = time.monotonic() - begun
    proxy.reset()
    assert failed.kind == "RECOVERABLE", failed.log
    assert "StoreUnavailableError" in failed.error
    assert took < START + BUDGET
    assert shown(place, failed) == []
