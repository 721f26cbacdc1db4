"""An Azure account with a hierarchical namespace, imitated: a proxy that adds folders to Azurite.

A blob that is written makes the folders around it. They stay when it is deleted, are in listings, and are
deleted as a blob is, if they are empty: else the answer is 409 `DirectoryIsNotEmpty`. obstore sends its
deletions in batches, of one.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from aiohttp import ClientResponse, web
from azure.storage.blob.aio import BlobServiceClient

from tests.servers.azurite import Azurite
from tests.servers.proxy import FaultProxy, Rule, Seen

_NOT_EMPTY = "This operation is not permitted on a non-empty directory."
_REFUSED = (
    f"--b\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 409 {_NOT_EMPTY}\r\n"
    "x-ms-error-code: DirectoryIsNotEmpty\r\n\r\n--b--\r\n"
)


class Hierarchical(FaultProxy):
    """Its paths are `/account/container/key`."""

    def __init__(self, server: Azurite) -> None:
        super().__init__(server.endpoint)
        self._connection = server.connection_string()
        self.folders: set[str] = set()
        """Each as `container/key`."""
        self._blobs: set[str] = set()

    async def _open(self) -> None:
        await super()._open()
        self._service = BlobServiceClient.from_connection_string(self._connection)

    async def _close(self) -> None:
        await self._service.close()
        await super()._close()

    def _record(self, request: web.Request) -> tuple[Seen, Rule]:
        seen, rule = super()._record(request)
        if not rule.status and request.method == "DELETE" and self._is_filled(_name(request.path)):
            rule = Rule(status=409, code="DirectoryIsNotEmpty")
        return seen, rule

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("comp") == "batch":
            return await self._batch(request)
        if request.query.get("comp") == "list":
            return await self._list(request)
        return await super()._handle(request)

    async def _forward(self, request: web.Request, seen: Seen, rule: Rule) -> ClientResponse:
        # First here, then there: the client may ask again as soon as it has its answer.
        name = _name(request.path)
        if request.method == "PUT" and "/" in name and request.query.get("comp") != "block":
            self._blobs.add(name)
            await self._make_folders(name)
        if request.method == "DELETE":
            self._forget(name)
        return await super()._forward(request, seen, rule)

    def _is_filled(self, name: str) -> bool:
        inside = f"{name}/"
        return name in self.folders and any(each.startswith(inside) for each in self._blobs | self.folders)

    def _forget(self, name: str) -> None:
        self._blobs.discard(name)
        self.folders.discard(name)

    async def _make_folders(self, name: str) -> None:
        container, _, path = name.partition("/")
        while path := path.rpartition("/")[0]:
            if f"{container}/{path}" not in self.folders:
                self.folders.add(f"{container}/{path}")
                blob = self._service.get_blob_client(container, path)
                await blob.upload_blob(b"", metadata={"hdi_isfolder": "true"}, overwrite=True)

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        seen, _ = self._record(request)
        body = await request.read()
        found = re.search(rb"DELETE /([^ ?]*)", body)
        assert found
        name = _name(f"/{found[1].decode()}")
        if self._is_filled(name):
            seen.status = 409
            headers = {"Content-Type": "multipart/mixed; boundary=b"}
            return web.Response(status=202, body=_REFUSED.encode(), headers=headers)
        self._forget(name)
        async with await self._send(request, body) as answer:
            seen.status, said = answer.status, await answer.read()
            headers = {"Content-Type": answer.headers["Content-Type"]}
        return web.Response(status=seen.status, body=said, headers=headers)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        seen, _ = self._record(request)
        container = request.path.rpartition("/")[2]
        async with await self._send(request, None) as answer:
            seen.status, text = answer.status, await answer.text()

        def typed(blob: re.Match[str]) -> str:
            kind = "directory" if f"{container}/{unquote(blob[1])}" in self.folders else "file"
            return blob[0].replace("<Properties>", f"<Properties><ResourceType>{kind}</ResourceType>")

        text = re.sub(r"<Blob><Name>(.*?)</Name>.*?</Blob>", typed, text, flags=re.DOTALL)
        return web.Response(status=seen.status, text=text, content_type="application/xml")


def _name(path: str) -> str:
    """`container/key` of `/account/container/key`."""
    return unquote(path).partition("/")[2].partition("/")[2]
