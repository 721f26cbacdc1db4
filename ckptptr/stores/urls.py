"""URLs, as people, Flyte and Hadoop write them: which kind of store, and which key in it.

The one place that knows schemes. No SDK is needed here, and nothing is asked of any store.

An access point of S3 stands in place of a bucket, `s3://arn:aws:s3:<region>:<account>:accesspoint/<name>/path`.
AWS takes a colon for that slash as well, and so it is one segment here, like any bucket.

Azure has a long form, `abfss://container@account.dfs.core.windows.net/path`. adlfs takes it as it
takes the short one, `abfs://container/path`, with the account left out; so do we.
"""

from __future__ import annotations

import re
from typing import NamedTuple

ALIASES = {"local": "file", "s3a": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}
"""Other names of a scheme."""

_ARN = r"(arn:aws[a-z-]*:s3:[a-z0-9-]*:[0-9]{12}:accesspoint)[:/]([A-Za-z0-9.-]+)"
_ACCESS_POINT = re.compile(_ARN)
_BUCKET = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://(?:{_ARN}|[^/]+)")
_SCHEMES = {*ALIASES, *ALIASES.values(), "memory"}
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9]*):/*")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_AZURE_HOST = re.compile(r"([a-z0-9]{3,24})\.(?:dfs|blob)\.core\.[a-z.]+", re.IGNORECASE)


class Location(NamedTuple):
    """Where a URL points. `scheme` is the canonical one, `file` for a plain path; `account` is empty but
    for the long form of Azure."""

    scheme: str
    key: str
    account: str = ""


def lost_slash(path: str) -> str:
    """The URL that a path was, where one of its slashes is gone (`pathlib.Path` takes it): `s3:/bucket/x`.

    Empty where it is a path.
    """
    found = _ONE_SLASH.match(path)
    if not found or found[1].lower() not in _SCHEMES:
        return ""
    slashes = ":///" if found[1].lower() in ("file", "local") else "://"
    return f"{found[1]}{slashes}{path[found.end() :]}"


def is_access_point(bucket: str) -> bool:
    """Whether the first segment of a key is an access point of S3 and no bucket."""
    return _ACCESS_POINT.fullmatch(bucket) is not None


def bucket_of(url: str) -> str:
    """The beginning of a URL, up to its bucket, as it is written; empty where it has none: on a disk."""
    found = _BUCKET.match(url)
    return found[0] if found else ""


def split(url: str) -> Location:
    """A URL or a plain path, taken apart; nothing is checked but the form."""
    found = _URL.fullmatch(url)
    if not found:
        return Location("file", url)
    scheme = found[1].lower()
    scheme = ALIASES.get(scheme, scheme)
    if scheme == "s3" and (point := _ACCESS_POINT.match(found[2])):
        return Location(scheme, f"{point[1]}:{point[2]}{found[2][point.end() :]}")
    if scheme != "abfs":
        return Location(scheme, found[2])
    return Location(scheme, *_split_account(found[2]))


def _split_account(rest: str) -> tuple[str, str]:
    """`container@account.host/path` as a key and the account. What is no Azure host stays where it is."""
    place, slash, path = rest.partition("/")
    container, at, host = place.rpartition("@")
    found = _AZURE_HOST.fullmatch(host)
    if not found:
        return rest, ""
    return (f"{container}{slash}{path}" if at else path), found[1].lower()
