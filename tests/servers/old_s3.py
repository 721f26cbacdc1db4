"""What some servers with S3's interface do otherwise, as rules for the proxy before a real one."""

from __future__ import annotations

from tests.servers.proxy import Rule

_WITH_A_CHECKSUM = {
    "x-amz-checksum-crc32": "=",
    "x-amz-checksum-crc64nvme": "=",
    "x-amz-checksum-sha256": "=",
    "x-amz-sdk-checksum-algorithm": "C",
    "x-amz-checksum-algorithm": "2",  # CRC32, SHA256
    "x-amz-checksum-mode": "E",
}
"""Each of these headers, with a letter that is always in it."""


def takes_no_checksums(path: str = "", *, status: int = 400, code: str = "InvalidArgument") -> list[Rule]:
    """Any request that has one, or asks for one, is refused."""
    return [
        Rule(path=path, headers={name: text}, status=status, code=code, times=None)
        for name, text in _WITH_A_CHECKSUM.items()
    ]


def has_object_lock(path: str = "") -> list[Rule]:
    """With default retention: what is written needs a checksum."""
    proofs = ("Content-MD5", "x-amz-checksum-crc32", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha256")
    accepted = [Rule(path=path, headers={name: "="}, times=None) for name in proofs]
    copies = Rule(method="PUT", path=path, headers={"x-amz-copy-source": "/"}, times=None)
    refused = Rule(method="PUT", path=path, status=400, code="InvalidRequest", times=None)
    return [*accepted, copies, refused]


def takes_no_conditions(path: str = "", *, status: int = 501, code: str = "NotImplemented") -> list[Rule]:
    return [
        Rule(method="PUT", path=path, headers={name: text}, status=status, code=code, times=None)
        for name, text in (("If-None-Match", "*"), ("If-Match", '"'))
    ]


def deletes_singly(path: str = r"\?delete", *, status: int = 501, code: str = "NotImplemented") -> list[Rule]:
    return [Rule(method="POST", path=path, status=status, code=code, times=None)]


def loses_the_reply_to_a_completion(path: str = "") -> list[Rule]:
    """And does not know the upload any more when it is asked again."""
    where = f"{path}.*uploadId="
    return [
        Rule(method="POST", path=where, drop="after"),
        Rule(method="POST", path=where, status=404, code="NoSuchUpload"),
    ]


def does_not_say_whether_there_is_more(path: str = "") -> list[Rule]:
    omitted = "<(IsTruncated|NextContinuationToken)>.*?</[^>]*>"
    return [Rule(method="GET", path=f"{path}.*list-type=2", omit=omitted, times=None)]
