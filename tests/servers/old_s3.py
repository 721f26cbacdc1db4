"""What some servers with S3's interface do otherwise, as rules for the proxy before a real one."""

from __future__ import annotations

from tests.servers.proxy import Rule


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
