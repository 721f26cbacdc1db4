"""Who competes. Each has the same two methods and finds server and credentials in its environment.

`save` and `restore` are what is timed; `prepare` and the imports are not, since a pod does them once.
"""

from __future__ import annotations

import json
import os
import subprocess
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import null

PART = 8 << 20
CONNECTIONS = {"loopback": 8, "counted": 8, "slow": 64}
"""What is best on each network, for those that have to be told; in their environment as `CONNECTIONS`."""
ON_S3 = frozenset({"null", "s3"})


class Client(ABC):
    """One contestant, on the bucket whose URL is `root`."""

    servers: ClassVar[frozenset[str]] = ON_S3 | {"gcs", "azure"}
    is_a_program: ClassVar[bool] = False
    knows_the_last: ClassVar[bool] = False
    """Whether a later save goes by what the one before it has sent."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.bucket = root.partition("://")[2]
        self.connections = int(os.environ["CONNECTIONS"])

    def prepare(self, operation: str, name: str) -> None:  # noqa: B027 - most have nothing to prepare
        """What comes before the stopwatch. `name` is that of the checkpoint, new for each save."""

    @abstractmethod
    def save(self, source: Path, name: str) -> None:
        """Send a file or a folder."""

    @abstractmethod
    def restore(self, target: Path, name: str) -> None:
        """Fetch what was saved under that name into a folder."""


class Ours(Client):
    """ckptptr; which engine is said by `CKPTPTR_ENGINE`. All that it promises is in its time: digests,
    manifest, LATEST, and a restore that is verified."""

    knows_the_last = True

    def __init__(self, root: str) -> None:
        super().__init__(root)
        import ckptptr

        self._ckptptr = ckptptr
        self._opened: dict[str, Any] = {}

    def prepare(self, operation: str, name: str) -> None:
        url = f"{self.root}/{name}"
        if operation == "restore":
            self._reader = self._ckptptr.open(url, read_only=True)
        elif name not in self._opened:
            self._opened[name] = self._ckptptr.open(url, attempt=0)

    def save(self, source: Path, name: str) -> None:
        self._opened[name].save(source)

    def restore(self, target: Path, name: str) -> None:
        self._reader.restore(target)


class OursAsOnAmazon(Ours):
    """The same as it is over https on Amazon's own endpoint, without the TLS: the checksum of a part protects
    it, and the signature leaves it out; nothing is probed."""

    servers = frozenset({"null"})

    def __init__(self, root: str) -> None:
        super().__init__(root)
        from ckptptr.stores.obstore import lend_s3

        make = lend_s3.S3Lender._client

        def unsigned(lender: Any, bucket: str, meta: Any, checksum: Any) -> Any:
            return make(
                lender, bucket, meta, {**checksum, "unsigned_payload": "unsigned_payload" in checksum}
            )

        lend_s3.S3Lender._client = unsigned  # type: ignore[method-assign]
        lend_s3.AMAZON = ("127.0.0.1",)  # type: ignore[assignment]


class Stock(Client):
    """flytekit's own `SyncCheckpoint`, with the settings that it has in a pod."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        from flytekit.configuration import DataConfig
        from flytekit.core.checkpointer import SyncCheckpoint
        from flytekit.core.context_manager import FlyteContextManager
        from flytekit.core.data_persistence import FileAccessProvider

        self._checkpoint = SyncCheckpoint
        access = FileAccessProvider("/tmp/flytekit", root, DataConfig.auto())
        context = FlyteContextManager.current_context()
        FlyteContextManager.push_context(context.with_file_access(access).build())

    def save(self, source: Path, name: str) -> None:
        self._checkpoint(f"{self.root}/{name}").save(source)

    def restore(self, target: Path, name: str) -> None:
        self._checkpoint(f"{self.root}/none", f"{self.root}/{name}").restore(target)


class S5cmd(Client):
    """s5cmd, a Go program: the fastest of the command lines. `sync` leaves out what has the same time and
    size; parts and their number are set as it is best here."""

    servers = ON_S3
    is_a_program = True

    def save(self, source: Path, name: str) -> None:
        if source.is_dir():
            self._run("sync", f"{source}/", f"{self.root}/{name}/")
        else:
            self._run("cp", str(source), f"{self.root}/{name}/")

    def restore(self, target: Path, name: str) -> None:
        verb = "sync" if any(target.iterdir()) else "cp"
        self._run(verb, f"{self.root}/{name}/*", f"{target}/")

    def _run(self, verb: str, *arguments: str) -> None:
        many = str(max(16, self.connections))
        tuned = ("--concurrency", many, "--part-size", "8")
        subprocess.run(
            ["s5cmd", "--log", "error", "--numworkers", many, verb, *tuned, *arguments], check=True
        )


class Obstore(Client):
    """obstore (Rust) without anything around it: no digest, no manifest, nothing verified."""

    unsigned: ClassVar[bool] = False

    def __init__(self, root: str) -> None:
        super().__init__(root)
        import obstore

        self._obstore = obstore
        self._store = _obstore_store(root, self.unsigned)
        self._pool = ThreadPoolExecutor(self.connections)

    def save(self, source: Path, name: str) -> None:
        files = _files(source)
        at_once = max(2, self.connections // len(files))

        def put(file: Path) -> None:
            key = f"{name}/{file.name}"
            self._obstore.put(self._store, key, file, chunk_size=PART, max_concurrency=at_once)

        list(self._pool.map(put, files))

    def restore(self, target: Path, name: str) -> None:
        found = [entry for page in self._obstore.list(self._store, name) for entry in page]
        jobs = [(entry, start) for entry in found for start in range(0, entry["size"], PART)]

        def get(job: tuple[Any, int]) -> None:
            entry, start = job
            length = min(PART, entry["size"] - start)
            data = self._obstore.get_range(self._store, entry["path"], start=start, length=length)
            file = os.open(target / entry["path"].rpartition("/")[2], os.O_CREAT | os.O_WRONLY)
            os.pwrite(file, data, start)
            os.close(file)

        list(self._pool.map(get, jobs))


class ObstoreUnsigned(Obstore):
    """The same. The signature of a request leaves out its payload: over plain http nothing protects it."""

    servers = ON_S3
    unsigned = True


class AwsCrt(Client):
    """awscrt (C), what boto3 transfers files with where it is installed."""

    servers = ON_S3

    def __init__(self, root: str) -> None:
        super().__init__(root)
        import boto3
        from s3transfer.crt import BotocoreCRTCredentialsWrapper as Wrapped
        from s3transfer.crt import BotocoreCRTRequestSerializer, CRTTransferManager, create_s3_crt_client

        session = boto3.Session()._session
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        self._s3 = boto3.client("s3")
        self._manager = CRTTransferManager(
            create_s3_crt_client(
                "us-east-1",
                crt_credentials_provider=Wrapped(session.get_credentials()).to_crt_credentials_provider(),
                target_throughput=_gbits(self.connections) * 1e9 / 8,
                part_size=PART,
                use_ssl=False,
            ),
            BotocoreCRTRequestSerializer(session, {"endpoint_url": endpoint, "region_name": "us-east-1"}),
        )

    def save(self, source: Path, name: str) -> None:
        sent = [
            self._manager.upload(str(file), self.bucket, f"{name}/{file.name}") for file in _files(source)
        ]
        for each in sent:
            each.result()

    def restore(self, target: Path, name: str) -> None:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{name}/")
        keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        got = [self._manager.download(self.bucket, key, str(target / key.rpartition("/")[2])) for key in keys]
        for each in got:
            each.result()


class TorchConnector(Client):
    """s3torchconnector, Amazon's streams for PyTorch over awscrt; files by a few threads."""

    servers = ON_S3

    def __init__(self, root: str) -> None:
        super().__init__(root)
        from s3torchconnector import S3ClientConfig
        from s3torchconnector._s3client import S3Client

        settings = S3ClientConfig(
            throughput_target_gbps=_gbits(self.connections), part_size=PART, force_path_style=True
        )
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        self._client = S3Client("us-east-1", endpoint=endpoint, s3client_config=settings)
        self._pool = ThreadPoolExecutor(self.connections)

    def save(self, source: Path, name: str) -> None:
        def put(file: Path) -> None:
            writer = self._client.put_object(self.bucket, f"{name}/{file.name}")
            with file.open("rb", buffering=0) as content, writer:
                while block := content.read(1 << 20):
                    writer.write(block)

        list(self._pool.map(put, _files(source)))

    def restore(self, target: Path, name: str) -> None:
        listed = self._client.list_objects(self.bucket, f"{name}/")
        keys = [entry.key for page in listed for entry in page.object_info]

        def get(key: str) -> None:
            reader = self._client.get_object(self.bucket, key)
            with (target / key.rpartition("/")[2]).open("wb", buffering=0) as file:
                while block := reader.read(1 << 20):
                    file.write(block)

        list(self._pool.map(get, keys))


class Reference(Client):
    """`null/reference.c`, the least that a client can do: no library, no signature, no digest."""

    servers = frozenset({"null"})
    is_a_program = True

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._program = null.build("reference")

    def save(self, source: Path, name: str) -> None:
        self._run("save", name, source)

    def restore(self, target: Path, name: str) -> None:
        self._run("restore", name, target)

    def _run(self, operation: str, name: str, path: Path) -> None:
        port = os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2]
        command = [self._program, operation, port, f"{self.bucket}/{name}", str(self.connections), path]
        subprocess.run(command, check=True)


def _files(source: Path) -> list[Path]:
    return [source] if source.is_file() else sorted(source.iterdir())


def _gbits(connections: int) -> float:
    """What awscrt is told to aim at: it has no setting for connections."""
    return 40.0 if connections > 16 else 10.0


def _obstore_store(root: str, unsigned: bool) -> Any:
    from obstore import store

    kind, _, bucket = root.partition("://")
    http: Any = {"allow_http": True}
    if kind == "s3":
        return store.S3Store(
            bucket,
            endpoint=os.environ["AWS_ENDPOINT_URL"],
            region="us-east-1",
            unsigned_payload=unsigned,
            client_options=http,
        )
    if kind == "gs":
        base = {"gcs_base_url": os.environ["STORAGE_EMULATOR_HOST"], "disable_oauth": True}
        key = json.dumps({**base, "client_email": "", "private_key": "", "private_key_id": ""})
        return store.GCSStore(bucket, service_account_key=key, client_options=http)
    parts = dict(
        each.partition("=")[::2] for each in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";")
    )
    return store.AzureStore(
        bucket,
        account_name=parts["AccountName"],
        account_key=parts["AccountKey"],
        endpoint=parts["BlobEndpoint"],
        client_options=http,
    )


CLIENTS: dict[str, type[Client]] = {
    "stock": Stock,
    "ckptptr (fsspec)": Ours,
    "ckptptr (obstore)": Ours,
    "ckptptr (obstore), as on Amazon": OursAsOnAmazon,
    "raw obstore": Obstore,
    "raw obstore, unsigned": ObstoreUnsigned,
    "s5cmd": S5cmd,
    "awscrt": AwsCrt,
    "s3torchconnector": TorchConnector,
    "C reference": Reference,
}
ENGINES = {name: "fsspec" if "fsspec" in name else "obstore" for name in CLIENTS if "ckptptr" in name}
