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

RANGE = 16 << 20
THREADS = 32


class Client(ABC):
    """One contestant, on the bucket whose URL is `root`."""

    servers: ClassVar[frozenset[str]] = frozenset({"s3", "gcs", "azure"})
    is_a_program: ClassVar[bool] = False

    def __init__(self, root: str) -> None:
        self.root = root

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

    servers = frozenset({"s3"})
    is_a_program = True
    _TUNED = ("--concurrency", "16", "--part-size", "16")

    def save(self, source: Path, name: str) -> None:
        if source.is_dir():
            self._run("sync", *self._TUNED, f"{source}/", f"{self.root}/{name}/")
        else:
            self._run("cp", *self._TUNED, str(source), f"{self.root}/{name}/")

    def restore(self, target: Path, name: str) -> None:
        verb = "sync" if any(target.iterdir()) else "cp"
        self._run(verb, *self._TUNED, f"{self.root}/{name}/*", f"{target}/")

    def _run(self, *arguments: str) -> None:
        subprocess.run(["s5cmd", "--log", "error", *arguments], check=True)


class Obstore(Client):
    """obstore (Rust) without anything around it: no digest, no manifest, nothing verified."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        import obstore

        self._obstore = obstore
        self._store = _obstore_store(root)
        self._pool = ThreadPoolExecutor(THREADS)

    def save(self, source: Path, name: str) -> None:
        files = [source] if source.is_file() else sorted(source.iterdir())

        def put(file: Path) -> None:
            self._obstore.put(self._store, f"{name}/{file.name}", file, chunk_size=RANGE // 2)

        list(self._pool.map(put, files))

    def restore(self, target: Path, name: str) -> None:
        found = [entry for page in self._obstore.list(self._store, name) for entry in page]
        jobs = []
        for entry in found:
            path = target / entry["path"].rpartition("/")[2]
            with path.open("wb") as file:
                file.truncate(entry["size"])
            jobs += [(path, entry, start) for start in range(0, entry["size"], RANGE)]

        def get(job: tuple[Path, Any, int]) -> None:
            path, entry, start = job
            length = min(RANGE, entry["size"] - start)
            data = self._obstore.get_range(self._store, entry["path"], start=start, length=length)
            with path.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), data, start)

        list(self._pool.map(get, jobs))


def _obstore_store(root: str) -> Any:
    from obstore import store

    kind, _, bucket = root.partition("://")
    http: Any = {"allow_http": True}
    if kind == "s3":
        return store.S3Store(
            bucket, endpoint=os.environ["AWS_ENDPOINT_URL"], region="us-east-1", client_options=http
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
    "s5cmd": S5cmd,
    "raw obstore": Obstore,
}
ENGINES = {"ckptptr (fsspec)": "fsspec", "ckptptr (obstore)": "obstore"}
