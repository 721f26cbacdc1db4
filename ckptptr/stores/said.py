"""What a server said, as our errors show it: its own sentence, the endpoint, the cure; and no secret."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ckptptr.errors import AccessDeniedError, StoreUnavailableError
from ckptptr.stores.line import CURE, OverdueError

NOT_THE_STORES = "The answer is not in the store's words: a proxy or a firewall on the way may have given it."

_LONGEST = 400
_EMPTY = ("access denied", "forbidden")  # say no more than the status
_SECRETS = (
    (re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*"), r"\1"),  # a query can be a signature
    (re.compile(r"//[^/\s]*@"), "//"),
    (re.compile(r"(?i)\b(\w*(?:sig|signature|token|secret|password|credential|key)=)[^\s&\"']+"), r"\1..."),
    (re.compile(r"[\w+=-]{80,}|[\w+=/.-]{200,}"), "..."),  # a token
)
_NAMED = re.compile(
    r"not authorized to perform: ([\w:]+)"  # Amazon
    r"|does not have ([a-z]\w*(?:\.\w+)+)|[Pp]ermission '([a-z]\w*(?:\.\w+)+)'"  # Google
)


def sentence(text: object) -> str:
    """What the server says of itself, in one line; empty where it says nothing, or a whole page."""
    first = str(text or "").strip().partition("\n")[0]
    line = "".join(letter if letter.isprintable() else " " for letter in first).strip().rstrip(".")
    if line.startswith(("<", "{", "[")) or line.lower() in _EMPTY:
        return ""
    for secret, shown in _SECRETS:
        line = secret.sub(shown, line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def quoted(said: str) -> str:
    """To follow what happened in a message: ` ("User ... is not authorized")`, or nothing."""
    return f' ("{said}")' if said else ""


def refused(
    operation: str, url: str, said: str, *, grant: str, is_worded: bool, unlisted: str = ""
) -> AccessDeniedError:
    """The error for a request that the store refused, or something on the way.

    Args:
        grant: what the request takes.
        is_worded: whether the answer is in the store's words.
        unlisted: what to add if the server names no permission: that a missing object may look so too.
    """
    hint = NOT_THE_STORES if not is_worded else cure(said, grant) + ("" if named(said) else unlisted)
    return AccessDeniedError(f"the store refused to {operation}{quoted(said)}", key=url, hint=hint)


def cure(said: str, grant: str) -> str:
    """What to do about a refusal. `grant`: what the request takes; the server may name another permission."""
    if "explicit deny" in said or "organization's policy" in said:
        return "A policy denies it, and no grant overrules that: change the policy."
    return f"Grant {named(said) or grant}."


def named(said: str) -> str:
    """The permission that the server itself says is missing; empty where it names none."""
    found = _NAMED.search(said)
    return next(filter(None, found.groups())) if found else ""


def no_answer(operation: str, endpoint: str, problem: str, url: str) -> StoreUnavailableError:
    """The error for a request to `endpoint` that got no answer."""
    host = host_of(endpoint)
    origin = f" from {host}" if host else ""
    hint = "Check the endpoint and the network (DNS, proxy, firewall)." if host else ""
    return StoreUnavailableError(f"no answer to {operation}{origin} ({problem})", key=url, hint=hint)


def overdue(operation: str, endpoint: str, error: OverdueError, url: str) -> StoreUnavailableError:
    """The error for an upload whose answer did not come in the time that it had."""
    return StoreUnavailableError(no_answer(operation, endpoint, str(error), url).message, key=url, hint=CURE)


def host_of(endpoint: str) -> str:
    """`https://host:port` of a URL; empty where it is not that simple, and so may have a password in it."""
    try:
        parts = urlsplit(endpoint)
        simple = parts.hostname and "@" not in endpoint and (parts.port or True)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if simple else ""
