"""Where the crew saves: a server that is started again, a proxy that fails, and a small disk.

A disk has neither server nor proxy; there the store itself is on the small disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.servers import azurite, s3
from tests.servers.azurite import Azurite
from tests.servers.gcs import MiniGCS, refused
from tests.servers.process import free_ports
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.seaweed import Seaweed

MiB = 1 << 20
ROOM = 400 * MiB
"""Of the small disk: for the folders of eight writers, and on a disk for the store."""


@dataclass(frozen=True)
class Place:
    """One store in trouble.

    Args:
        url: of a folder in it.
        options: of fsspec: how the writers reach it, through the proxy.
        direct: how the judge does.
        environ: how the pods of Flyte do.
        disk: the small disk, where all writers have their temporary files; None if this user may mount none.
        busy: an answer of a server that has too much to do.
        sdk: in the User-Agent of the SDK whose uploads have a checksum, which the server compares.
    """

    url: str
    disk: Path
    is_small: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    direct: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    proxy: FaultProxy | None = None
    server: Any = None
    busy: Callable[..., Rule] = Rule
    sdk: str = ""

    def fill(self) -> None:
        """Make the small disk full."""
        with suppress(OSError), (self.disk / "ballast").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(64 * 1024))

    def relieve(self) -> None:
        (self.disk / "ballast").unlink(missing_ok=True)

    def rule(self, dice: Random) -> Rule:
        """Something that the network does to one request, or to a few."""
        few = dice.randint(1, 4)
        choices: list[Callable[[], Rule]] = [
            lambda: Rule(method="PUT|POST|DELETE", drop="after", times=few),
            lambda: Rule(drop=dice.choice(("before", "after")), times=few),
            lambda: Rule(delay=dice.uniform(0.2, 4), times=few),
            lambda: Rule(hang=True),
            lambda: Rule(method="GET", cut=dice.choice((0, 1, 100, 20_000)), times=few),
            lambda: Rule(method="GET", path=dice.choice(_OBJECTS), corrupt=True),
            lambda: self.busy(times=dice.choice((1, 3, 10))),
            lambda: Rule(status=502, body="<html>bad gateway</html>", times=few),
            lambda: Rule(method="GET", status=404, body="<html>not here</html>", times=few),
        ]
        if self.sdk:
            sdk = {"User-Agent": self.sdk}
            choices.append(lambda: Rule(method="PUT|POST", path=_PAYLOAD, headers=sdk, garble=50_000))
        return dice.choice(choices)()


_PAYLOAD = "(/|%2F)data(/|%2F)|uploadType"
_OBJECTS = ("(/|%2F)data(/|%2F)[0-9]", "(/|%2F)manifests(/|%2F)[0-9]", "LATEST")


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small disk at `folder`; False, and an ordinary folder, if this user may not mount one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "ckptptr-trouble", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def place_at(store: str, folder: Path) -> Iterator[Place]:
    """The store of that name, `s3`, `gcs`, `azure` or `disk`, up between `with` and its end."""
    with ExitStack() as stack:
        disk = folder / "disk"
        common = {"disk": disk, "is_small": stack.enter_context(small_disk(disk))}
        yield _OPENED[store](stack, folder, common)


def _disk(_: ExitStack, folder: Path, common: dict[str, Any]) -> Place:
    return Place(f"{folder}/disk/store", **common)


def _s3(stack: ExitStack, _: Path, common: dict[str, Any]) -> Place:
    server = stack.enter_context(Seaweed())
    proxy = stack.enter_context(FaultProxy(server.endpoint))
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    with s3.open_filesystem(server, server.endpoint) as filesystem:
        filesystem.call_s3("create_bucket", Bucket=bucket)
    keys = {"key": server.access_key, "secret": server.secret_key}
    environ = {
        "FLYTE_AWS_ENDPOINT": proxy.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": server.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": server.secret_key,
    }
    return Place(
        f"s3://{bucket}/trouble",
        **common,
        options={**keys, "endpoint_url": proxy.endpoint},
        direct={**keys, "endpoint_url": server.endpoint},
        environ=environ,
        proxy=proxy,
        server=server,
        busy=lambda **more: Rule(status=503, code="SlowDown", **more),
        sdk="otocore",
    )


def _gcs(stack: ExitStack, folder: Path, common: dict[str, Any]) -> Place:
    (port,) = free_ports(1)
    server = stack.enter_context(MiniGCS(str(port), "--state", f"{folder}/gcs"))
    proxy = stack.enter_context(FaultProxy(server.endpoint))
    server.make_bucket("bucket")
    environ = {
        "STORAGE_EMULATOR_HOST": proxy.endpoint,
        "FSSPEC_GS_TOKEN": "anon",
        "FETCH_RAW_TOKEN_EXPIRY": "false",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    return Place(
        "gs://bucket/trouble",
        **common,
        options={"token": "anon", "endpoint_url": proxy.endpoint},
        direct={"token": "anon", "endpoint_url": server.endpoint},
        environ=environ,
        proxy=proxy,
        server=server,
        busy=lambda **more: refused(503, "backendError", **more),
        sdk="gcsfs",
    )


def _azure(stack: ExitStack, _: Path, common: dict[str, Any]) -> Place:
    server = stack.enter_context(Azurite(durable=True))
    # After a cut upload Azurite 3.37 can give back other bytes of another object, which it had confirmed.
    proxy = stack.enter_context(FaultProxy(server.endpoint, whole=True))
    with azurite.open_filesystem(server.connection_string()) as filesystem:
        container = azurite.make_container(filesystem)
    connection = server.connection_string(proxy.endpoint)
    return Place(
        f"abfs://{container}/trouble",
        **common,
        options={"connection_string": connection},
        direct={"connection_string": server.connection_string()},
        environ={"AZURE_STORAGE_CONNECTION_STRING": connection},
        proxy=proxy,
        server=server,
        busy=lambda **more: Rule(status=503, code="ServerBusy", **more),
        sdk="azsdk",
    )


_OPENED = {"disk": _disk, "s3": _s3, "gcs": _gcs, "azure": _azure}
STORES = tuple(_OPENED)


def on_command_line(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in ("--storage-option", f"{name}={value}")]


def environment(place: Place) -> dict[str, str]:
    """What every writer has in its environment."""
    top = str(Path(__file__).parents[2])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (top, os.environ.get("PYTHONPATH")))),
        "TROUBLE_OPTIONS": json.dumps(dict(place.options)),
        **place.environ,
    }
