"""What some servers with S3's interface do otherwise, as rules for the proxy before a real one."""

from __future__ import annotations

from tests.servers.proxy import Rule


def does_not_say_whether_there_is_more(path: str = "") -> list[Rule]:
    omitted = "<(IsTruncated|NextContinuationToken)>.*?</[^>]*>"
    return [Rule(method="GET", path=f"{path}.*list-type=2", omit=omitted, times=None)]
