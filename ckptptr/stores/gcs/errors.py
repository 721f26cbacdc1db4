"""What the network and google-auth do to a request, as our errors; the reason in an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import aiohttp
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError

from ckptptr.errors import (
    AccessDeniedError,
    StoreUnavailableError,
)
from ckptptr.stores.line import OverdueError
from ckptptr.stores.said import no_answer, overdue
from ckptptr.stores.sdk import PassingError, shown, unsendable

_FAKE = {"Not Found": "notFound", "Precondition Failed": "conditionNotMet"}  # as fake-gcs-server writes it
_LONGEST = 2000


def words_in(body: bytes) -> tuple[str, str]:
    """The reason (`notFound`, `conditionNotMet`, ...) and the sentence in an error of Google.

    Without JSON, as for media requests, there is no reason, and all of the body is the sentence.
    """
    try:
        error = json.loads(body)["error"]
        reason, said = error["errors"][0]["reason"], error.get("message", "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", body[:_LONGEST].decode(errors="replace")
    word = _FAKE.get(str(reason), reason)
    # Not an open text, and never more than a word of it.
    return word if isinstance(word, str) and word.isalnum() else "", str(said)


@contextlib.contextmanager
def answered(operation: str, url: str, endpoint: str) -> Iterator[None]:
    """Turn what the network does to a request inside into `PassingError`."""
    try:
        yield
    except OverdueError as error:
        raise PassingError(overdue(operation, endpoint, error, url)) from error
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        problem = no_answer(operation, endpoint, type(error).__name__, url)
        raise PassingError(problem) from shown(error)
    except ValueError as error:
        raise unsendable(error, url) from None


@contextlib.contextmanager
def authorized(url: str) -> Iterator[None]:
    """Turn what google-auth raises inside, when it looks for credentials or renews a token, into one of ours.

    An unreachable token server says nothing about permissions: pods meet it in their first seconds.
    """
    try:
        yield
    except GoogleAuthError as error:
        if error.retryable or any(isinstance(cause, TransportError) for cause in (error, error.__cause__)):
            raise StoreUnavailableError(
                "the Google credentials could not be renewed: their server did not answer", key=url
            ) from error
        if isinstance(error, DefaultCredentialsError):
            raise AccessDeniedError(
                f"no usable Google credentials were found ({type(error).__name__})",
                key=url,
                hint="Set GOOGLE_APPLICATION_CREDENTIALS, or give the task a service account.",
            ) from error
        raise AccessDeniedError(
            f"the Google credentials could not be renewed ({type(error).__name__})",
            key=url,
            hint="Renew them, or check the service account of this task.",
        ) from error
