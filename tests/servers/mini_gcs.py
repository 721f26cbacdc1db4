"""A small Google Cloud Storage in memory: the JSON API as far as the tests need it, true in its conditions;
of the XML API, which obstore speaks, what moves payload.

    python tests/servers/mini_gcs.py [PORT] [--one-write-a-second] [--token T] [--keep N] [--copy-step N]
        [--state FILE]

It prints the port that it listens on, on loopback. All requests share one event loop, and between the
look at a condition and the write that depends on it nothing is awaited: so a check-and-set is atomic.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
import json
import pickle
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import google_crc32c
from aiohttp import web

_SMALLEST_PART = 5 << 20
CHUNK = 256 * 1024  # of resumable uploads: only whole ones are kept, but for the end


@dataclass(frozen=True)
class Options:
    """How the server differs from a patient one.

    Args:
        one_write_a_second: answer 429 to a second write to one name within a second, as Google does.
        token: refuse requests that do not carry it.
        keep: of each part of a resumable upload keep at most that many bytes.
        copy_step: rewrite that many bytes in one request, and give a token to go on with.
        state: a file: SIGTERM writes into it all that is stored, and the next server begins with that.
    """

    one_write_a_second: bool = False
    token: str = ""
    keep: int = 0
    copy_step: int = 0
    state: str = ""


@dataclass(frozen=True)
class Stored:
    """One version of one object. `resource` is what the writer said about it.

    Google knows no MD5 of what came `in_parts`, by a multipart upload of the XML API.
    """

    bucket: str
    name: str
    generation: int
    data: bytes
    resource: Mapping[str, Any]
    in_parts: bool = False
    updated: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def stamp(self) -> str:
        return f"{self.updated:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    @cached_property
    def crc32c(self) -> str:
        return _base64(google_crc32c.value(self.data).to_bytes(4, "big"))

    @cached_property
    def md5(self) -> str:
        return _base64(hashlib.md5(self.data, usedforsecurity=False).digest())

    def json(self) -> dict[str, Any]:
        return {
            "kind": "storage#object",
            **{
                key: self.resource[key]
                for key in ("contentType", "metadata", "cacheControl")
                if key in self.resource
            },
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "size": str(len(self.data)),
            "updated": self.stamp,
            "crc32c": self.crc32c,
            **({} if self.in_parts else {"md5Hash": self.md5}),
        }

    @property
    def hashes(self) -> str:
        """As `X-Goog-Hash` has them."""
        return f"crc32c={self.crc32c}" + ("" if self.in_parts else f",md5={self.md5}")


@dataclass
class Session:
    """A resumable upload, under way or `complete`: of those the outcome can still be asked."""

    bucket: str
    resource: Mapping[str, Any]
    query: Mapping[str, str]
    data: bytearray = field(default_factory=bytearray)
    complete: Stored | None = None


class RefusedError(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


Handler = Callable[["MiniGCS", web.Request, list[str]], Awaitable[web.StreamResponse]]


class MiniGCS:
    """The state of the server, and its answers."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._buckets: dict[str, dict[str, Stored]] = {}
        self._written: dict[tuple[str, str], float] = {}
        self._sessions: dict[str, Session] = {}
        self._copies: dict[str, int] = {}
        self._multiparts: dict[str, dict[int, bytes]] = {}
        self._numbers = itertools.count(time.time_ns() // 1000)
        if options.state and Path(options.state).exists():
            vars(self).update(pickle.loads(Path(options.state).read_bytes()))  # noqa: S301 - our own file

    def keep_state(self) -> None:
        kept = {name: value for name, value in vars(self).items() if isinstance(value, dict)}
        if self._options.state:
            Path(self._options.state).write_bytes(pickle.dumps(kept))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except RefusedError as error:
            await request.read()  # as real servers do, or clients see a reset
            if not request.path.startswith(("/storage/", "/upload/", "/download/", "/sessions")):
                code = _XML_CODES.get(error.reason, error.reason)
                if error.reason == "notFound" and request.path.split("/")[1] not in self._buckets:
                    code = "NoSuchBucket"
                return _xml(f"<Error><Code>{code}</Code></Error>", status=error.status)
            return _refusal(error, is_media=request.query.get("alt") == "media")

    async def _route(self, request: web.Request) -> web.StreamResponse:
        if self._options.token not in request.headers.get("Authorization", ""):
            raise RefusedError(401, "required")
        path = request.raw_path.partition("?")[0]  # as sent: a name's slashes are %2F
        for method, pattern, handler in _ROUTES:
            if method == request.method and (match := re.fullmatch(pattern, path)):
                return await handler(self, request, [unquote(group) for group in match.groups()])
        raise RefusedError(404, "notFound")

    # Buckets

    async def make_bucket(self, request: web.Request, _: list[str]) -> web.StreamResponse:
        name = (await request.json())["name"]
        if name in self._buckets:
            raise RefusedError(409, "conflict")
        self._buckets[name] = {}
        return web.json_response({"kind": "storage#bucket", "name": name})

    async def list_objects(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        bucket, query = self._bucket(names[0]), request.query
        after, prefix = query.get("pageToken", ""), query.get("prefix", "")
        found = sorted(
            (name for name in bucket if name.startswith(prefix) and name.encode() > after.encode()),
            key=lambda name: name.encode(),
        )
        page = found[: int(query.get("maxResults", "1000"))]
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if query.get("delimiter"):
            answer["prefixes"] = _one_level(page, prefix)
            page_items = [name for name in page if "/" not in name[len(prefix) :]]
        else:
            page_items = page
        if page_items:
            answer["items"] = [bucket[name].json() for name in page_items]
        if len(page) < len(found):
            answer["nextPageToken"] = page[-1]
        return web.json_response(answer)

    # Objects

    async def get(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        found = self._object(*names)
        if request.query.get("alt") != "media":
            return web.json_response(found.json())
        headers = {
            "X-Goog-Generation": str(found.generation),
            "X-Goog-Hash": found.hashes,
        }
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if not span:
            return web.Response(body=found.data, headers=headers)
        start, end = int(span[1]), int(span[2]) + 1
        if start >= len(found.data):
            raise RefusedError(416, "requestedRangeNotSatisfiable")
        return web.Response(status=206, body=found.data[start:end], headers=headers)

    async def delete(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        found = self._object(*names)
        self._check(found, request.query)
        del self._buckets[found.bucket][found.name]
        return web.Response(status=204)

    async def insert(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        if "upload_id" in request.query:
            return await self.go_on(request, names)  # Google takes POST as well, and gcsfs sends it
        body = await request.read()
        self._bucket(names[0])
        if request.query["uploadType"] == "multipart":
            resource, data = _parts(body, request.headers["Content-Type"])
            return web.json_response(self._write(names[0], resource, data, request.query).json())
        upload_id = str(next(self._numbers))
        self._sessions[upload_id] = Session(names[0], json.loads(body), dict(request.query))
        where = f"http://{request.host}/upload/storage/v1/b/{quote(names[0], safe='')}/o"
        return web.Response(headers={"Location": f"{where}?uploadType=resumable&upload_id={upload_id}"})

    async def go_on(self, request: web.Request, _: list[str]) -> web.StreamResponse:
        """A part of a resumable upload (`bytes 0-9/*`, `bytes 0-9/10`), or the question how much is there."""
        body = await request.read()
        session = self._session(request)
        if session.complete:
            return web.json_response(session.complete.json())
        match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", request.headers["Content-Range"])
        if not match:
            raise RefusedError(400, "badContentRange")
        total = None if match[2] == "*" else int(match[2])
        if match[1] is not None:
            session.data += self._kept(session, int(match[1]), body, total)
        if len(session.data) == total:
            given = dict(
                each.partition("=")[::2] for each in request.headers.get("X-Goog-Hash", "").split(",")
            )
            resource = {**session.resource, **({"crc32c": given["crc32c"]} if "crc32c" in given else {})}
            session.complete = self._write(session.bucket, resource, bytes(session.data), session.query)
            session.data.clear()
            return web.json_response(session.complete.json())
        there = {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
        return web.Response(status=308, headers=there)

    async def abandon(self, request: web.Request, _: list[str]) -> web.StreamResponse:
        self._session(request)
        del self._sessions[request.query["upload_id"]]
        return web.Response(status=499)

    async def sessions(self, _: web.Request, __: list[str]) -> web.StreamResponse:
        """For tests: the names of the objects that are being uploaded."""
        under_way = (session for session in self._sessions.values() if not session.complete)
        return web.json_response([session.resource["name"] for session in under_way])

    # The XML API

    async def xml_list(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        prefix = request.query.get("prefix", "")
        found = [each for _, each in sorted(self._bucket(names[0]).items()) if each.name.startswith(prefix)]
        below = ""
        if request.query.get("delimiter"):
            level = _one_level([each.name for each in found], prefix)
            below = "".join(
                f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in level
            )
            found = [each for each in found if "/" not in each.name[len(prefix) :]]
        items = "".join(
            f"<Contents><Key>{escape(each.name)}</Key><Size>{len(each.data)}</Size>"
            f"<LastModified>{each.stamp}</LastModified></Contents>"
            for each in found
        )
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}{below}</ListBucketResult>")

    async def xml_get(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        found = self._object(*names)
        headers = {
            "ETag": f'"{found.generation}"',
            "X-Goog-Generation": str(found.generation),
            "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT",
            "Content-Type": found.resource["contentType"],
        }
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(found.data))})
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if not span:
            return web.Response(body=found.data, headers=headers)
        start, end = int(span[1]), min(int(span[2]) + 1, len(found.data))
        if start >= end:
            raise RefusedError(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(found.data)}"
        return web.Response(status=206, body=found.data[start:end], headers=headers)

    async def xml_put(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        body = await request.read()
        if "uploadId" in request.query:
            self._multipart(request)[int(request.query["partNumber"])] = body
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            return web.Response(headers={"ETag": f'"{etag}"'})
        if "X-Goog-Copy-Source" in request.headers:
            bucket, _, name = unquote(request.headers["X-Goog-Copy-Source"]).lstrip("/").partition("/")
            source = self._object(bucket, name)
            said = {**source.resource, "name": names[1]}
            self._write(names[0], said, source.data, {}, in_parts=source.in_parts)
            return _xml("<CopyObjectResult></CopyObjectResult>")
        expected = request.headers.get("X-Goog-If-Generation-Match")
        stored = self._write(
            names[0],
            _said(request, names[1]),
            body,
            {} if expected is None else {"ifGenerationMatch": expected},
        )
        etag = f'"{base64.b64decode(stored.md5).hex()}"'
        return web.Response(headers={"ETag": etag, "X-Goog-Generation": str(stored.generation)})

    async def xml_post(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        """A multipart upload is begun, or completed by the list of its parts."""
        body = (await request.read()).decode()
        if "uploads" in request.query:
            self._bucket(names[0])
            upload_id = f"{next(self._numbers)}"
            self._multiparts[upload_id] = {}
            self._sessions[upload_id] = Session(names[0], _said(request, names[1]), {})
            return _xml(
                f"<InitiateMultipartUploadResult><Bucket>{names[0]}</Bucket><Key>x</Key>"
                f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )
        parts = self._multipart(request)
        listed = [int(number) for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", body)]
        if any(len(parts[number]) < _SMALLEST_PART for number in listed[:-1]):
            raise RefusedError(400, "EntityTooSmall")
        data = b"".join(parts[number] for number in listed)
        upload_id = request.query["uploadId"]
        del self._multiparts[upload_id]
        stored = self._write(names[0], self._sessions.pop(upload_id).resource, data, {}, in_parts=True)
        return _xml(
            "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
            f"<ETag>{stored.generation}</ETag></CompleteMultipartUploadResult>"
        )

    async def xml_delete(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        """An object is deleted, or a multipart upload is abandoned."""
        if "uploadId" not in request.query:
            found = self._object(*names)
            del self._buckets[found.bucket][found.name]
            return web.Response(status=204)
        self._multipart(request)
        del self._multiparts[request.query["uploadId"]]
        del self._sessions[request.query["uploadId"]]
        return web.Response(status=204)

    def _multipart(self, request: web.Request) -> dict[int, bytes]:
        found = self._multiparts.get(request.query.get("uploadId", ""))
        if found is None:
            raise RefusedError(404, "NoSuchUpload")
        return found

    async def rewrite(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        body = await request.read()
        source = self._object(names[0], names[1])
        self._bucket(names[2])
        size, step = len(source.data), self._options.copy_step or len(source.data)
        done = min(size, self._copies.pop(request.query.get("rewriteToken", ""), 0) + step)
        if done < size:
            token = str(next(self._numbers))
            self._copies[token] = done
            return web.json_response({"done": False, "totalBytesRewritten": str(done), "rewriteToken": token})
        resource = json.loads(body) if body else source.resource
        said = {key: value for key, value in resource.items() if key != "crc32c"}
        stored = self._write(
            names[2], {**said, "name": names[3]}, source.data, request.query, in_parts=source.in_parts
        )
        return web.json_response({"done": True, "resource": stored.json()})

    def _write(
        self,
        bucket: str,
        resource: Mapping[str, Any],
        data: bytes,
        query: Mapping[str, str],
        *,
        in_parts: bool = False,
    ) -> Stored:
        name, now = resource["name"], time.monotonic()
        if self._options.one_write_a_second and now < self._written.get((bucket, name), -1.0) + 1:
            raise RefusedError(429, "rateLimitExceeded")
        self._check(self._bucket(bucket).get(name), query)
        stored = Stored(bucket, name, next(self._numbers), data, resource, in_parts)
        if resource.get("crc32c", stored.crc32c) != stored.crc32c:
            raise RefusedError(400, "invalid")
        self._buckets[bucket][name] = stored
        self._written[bucket, name] = now
        return stored

    def _check(self, found: Stored | None, query: Mapping[str, str]) -> None:
        expected = query.get("ifGenerationMatch")
        if expected is not None and int(expected) != (found.generation if found else 0):
            raise RefusedError(412, "conditionNotMet")

    def _kept(self, session: Session, start: int, body: bytes, total: int | None) -> bytes:
        """What is new of a part; what was kept before is sent again after a lost answer."""
        there = len(session.data)
        if start > there:
            raise RefusedError(503, "backendError")
        end = start + len(body)
        if self._options.keep:
            end = min(end, there + self._options.keep)
        if end != total:
            end -= end % CHUNK
        return body[there - start : max(end, there) - start]

    def _bucket(self, name: str) -> dict[str, Stored]:
        if name not in self._buckets:
            raise RefusedError(404, "notFound")
        return self._buckets[name]

    def _object(self, bucket: str, name: str) -> Stored:
        found = self._bucket(bucket).get(name)
        if found is None:
            raise RefusedError(404, "notFound")
        return found

    def _session(self, request: web.Request) -> Session:
        found = self._sessions.get(request.query.get("upload_id", ""))
        if found is None:
            raise RefusedError(404, "notFound")
        return found


_XML_CODES = {"notFound": "NoSuchKey", "conditionNotMet": "PreconditionFailed"}
_BUCKET = r"/storage/v1/b/([^/]+)/o"
_OBJECT = rf"{_BUCKET}/([^/]+)"
_XML_OBJECT = r"/((?!storage/|upload/|download/)[^/]+)/(.+)"
_ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/storage/v1/b", MiniGCS.make_bucket),
    ("GET", "/sessions", MiniGCS.sessions),
    ("GET", _BUCKET, MiniGCS.list_objects),
    ("POST", f"/upload{_BUCKET}", MiniGCS.insert),
    ("PUT", f"/upload{_BUCKET}", MiniGCS.go_on),
    ("DELETE", f"/upload{_BUCKET}", MiniGCS.abandon),
    ("GET", f"(?:/download)?{_OBJECT}", MiniGCS.get),
    ("DELETE", _OBJECT, MiniGCS.delete),
    ("POST", f"{_OBJECT}/rewriteTo/b/([^/]+)/o/([^/]+)", MiniGCS.rewrite),
    ("GET", r"/([^/]+)", MiniGCS.xml_list),
    ("GET", _XML_OBJECT, MiniGCS.xml_get),
    ("HEAD", _XML_OBJECT, MiniGCS.xml_get),
    ("PUT", _XML_OBJECT, MiniGCS.xml_put),
    ("POST", _XML_OBJECT, MiniGCS.xml_post),
    ("DELETE", _XML_OBJECT, MiniGCS.xml_delete),
]


def _said(request: web.Request, name: str) -> dict[str, Any]:
    """What the headers of the XML API say about the object."""
    prefix = "x-goog-meta-"
    metadata = {
        key[len(prefix) :].lower(): value
        for key, value in request.headers.items()
        if key.lower().startswith(prefix)
    }
    kind = request.headers.get("Content-Type", "application/octet-stream")
    return {"name": name, "contentType": kind, **({"metadata": metadata} if metadata else {})}


def _one_level(names: list[str], prefix: str) -> list[str]:
    """The folders right below a prefix, each with its slash."""
    below = (name[len(prefix) :].partition("/") for name in names)
    return sorted({f"{prefix}{name}/" for name, slash, _ in below if slash})


def _xml(text: str, headers: Mapping[str, str] | None = None, status: int = 200) -> web.Response:
    said = f'<?xml version="1.0" encoding="UTF-8"?>{text}'
    return web.Response(status=status, text=said, content_type="application/xml", headers=headers)


def _refusal(error: RefusedError, *, is_media: bool) -> web.Response:
    if is_media:  # Google says no more than this to who asked for an object's content
        return web.Response(status=error.status, text="Not Found" if error.status == 404 else error.reason)
    details = [{"domain": "global", "reason": error.reason, "message": error.reason}]
    body = {"error": {"code": error.status, "message": error.reason, "errors": details}}
    return web.json_response(body, status=error.status)


def _parts(body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """The metadata and the content of a multipart/related upload."""
    match = re.search(r'boundary="?([^";]+)', content_type)
    if not match:
        raise RefusedError(400, "badRequest")
    line = b"\r\n" if body.rstrip().count(b"\r\n--" + match[1].encode()) == 2 else b"\n"  # gcsfs
    first = b"--" + match[1].encode() + line
    between, last = line + first, line + first.removesuffix(line) + b"--"
    if not body.startswith(first) or last not in body:
        raise RefusedError(400, "badRequest")
    metadata, _, content = body.removeprefix(first).partition(between)
    said = metadata.partition(line * 2)[2]
    return json.loads(said), content[: content.rindex(last)].partition(line * 2)[2]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _serve(port: int, options: Options) -> None:
    application = web.Application(client_max_size=0)
    server, is_told = MiniGCS(options), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_told.set)
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await is_told.wait()
    await runner.cleanup()
    server.keep_state()


def main() -> None:
    parser = argparse.ArgumentParser(description="A small Google Cloud Storage in memory.")
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--one-write-a-second", action="store_true")
    parser.add_argument("--token", default="")
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--copy-step", type=int, default=0)
    parser.add_argument("--state", default="")
    arguments = vars(parser.parse_args())
    asyncio.run(_serve(arguments.pop("port"), Options(**arguments)))


if __name__ == "__main__":
    main()
