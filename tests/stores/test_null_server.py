"""The server of the benchmarks answers as S3 does, so what is measured against it is S3's protocol; and its
reference client sends and fetches whole files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from benchmarks import null
from benchmarks.clients import Reference

pytestmark = [pytest.mark.servers, pytest.mark.skipif(not null.can_build(), reason="gcc builds it")]


@pytest.fixture(scope="module")
def server() -> Iterator[null.NullServer]:
    with null.running(0.1) as server:
        yield server


@pytest.fixture
def client(server: null.NullServer) -> S3Store:
    return S3Store(
        "bench",
        endpoint=server.endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def test_conditions_pages_and_ranges_are_those_of_s3(client: S3Store) -> None:
    client.put("swap", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        client.put("swap", b"second", mode="create")
    token = client.head("swap")["e_tag"]
    client.put("swap", b"second", mode={"e_tag": token})
    with pytest.raises(PreconditionError):
        client.put("swap", b"third", mode={"e_tag": token})
    assert bytes(client.get_range("swap", start=1, length=3)) == b"eco"
    names = [f"many/{number:04}/x" for number in range(1001)]
    for name in names:
        client.put(name, b"")
    assert [each["path"] for page in client.list("many") for each in page] == names
    assert len(client.list_with_delimiter("many")["common_prefixes"]) == len(names)
    client.delete(names[1:])
    assert [each["path"] for page in client.list("many") for each in page] == names[:1]
    with pytest.raises(FileNotFoundError):
        client.get(names[1])


def test_a_wrong_checksum_of_a_small_object_is_refused(server: null.NullServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/bench/wrong", b"?", {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"BadDigest" in answer.read()
    connection.close()


def test_the_reference_client_and_a_real_one_read_each_other(
    server: null.NullServer, client: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONNECTIONS", "3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    files = {f"part-{size}": os.urandom(size) for size in (1, 65536, 17 << 20)}
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    reference = Reference("s3://bench")
    reference.save(source, "run")
    assert {name: bytes(client.get(f"run/{name}").bytes()) for name in files} == files
    client.put("run/more", b"more")
    reference.restore(target, "run")
    assert {each.name: each.read_bytes() for each in target.iterdir()} == {**files, "more": b"more"}
