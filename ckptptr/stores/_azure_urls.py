"""Azure's long form of a URL, as Hadoop and Spark write it: the account is in there, too.

`abfss://container@account.dfs.core.windows.net/path`. adlfs takes it as it takes the short one,
`abfs://container/path`, with the account left out. No SDK is needed here.
"""

from __future__ import annotations

import re

_HOST = re.compile(r"([a-z0-9]{3,24})\.(?:dfs|blob)\.core\.[a-z.]+", re.IGNORECASE)


def split_account(rest: str) -> tuple[str, str]:
    """What follows `abfs://`, as a key and the account that it names; the account is empty in the short form.

    Nothing is checked but the form: what is no Azure host stays where it is.
    """
    place, slash, path = rest.partition("/")
    container, at, host = place.rpartition("@")
    match = _HOST.fullmatch(host)
    if not match:
        return rest, ""
    if at:
        return f"{container}{slash}{path}", match[1].lower()
    return path, match[1].lower()
