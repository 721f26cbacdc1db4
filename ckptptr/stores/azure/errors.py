"""What Azure's SDK raises, as our errors. Of its text only the sentence of Azure is repeated: URLs can carry
signatures."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from aiohttp import ClientError as HttpError
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    StoreUnavailableError,
)
from ckptptr.stores.azure.words import refusal
from ckptptr.stores.line import OverdueError
from ckptptr.stores.said import no_answer, overdue
from ckptptr.stores.sdk import PassingError, shown, unsendable

_NOT_AZURES = (DeserializationError, AttributeError, LookupError, TypeError)
"""What the SDK raises when it reads an answer of something else."""
_FAILURES = (AzureError, HttpError, OSError, asyncio.TimeoutError)
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


@contextlib.contextmanager
def translated(operation: str, url: str, endpoint: str = "") -> Iterator[None]:
    """Turn what the SDK raises inside into one of ours, or `PassingError`. The SDK names `operation`."""
    try:
        yield
    except OverdueError as error:
        raise PassingError(overdue(operation, endpoint, error, url)) from error
    except _FAILURES as error:
        ours = _translate(error, operation, url, endpoint)
        if isinstance(error, AzureError) and _is_passing(error):
            raise PassingError(ours) from shown(error)
        raise ours from shown(error)
    except _NOT_AZURES as error:
        other = StoreUnavailableError(f"the answer to {operation} is not that of Azure", key=url)
        raise other from shown(error)
    except ValueError as error:
        raise unsendable(error, url) from None


def _is_passing(error: AzureError) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, (ServiceRequestError, ServiceResponseError, IncompleteReadError)):
        return True
    return isinstance(error, HttpResponseError) and error.status_code in _PASSING


def _translate(error: Exception, operation: str, url: str, endpoint: str) -> CkptptrError:
    response: Any = getattr(error, "response", None)
    if response is not None:
        code = response.headers.get("x-ms-error-code") or ""
        return refusal(code, response.status_code, operation, url, getattr(error, "message", ""))
    if isinstance(error, ClientAuthenticationError):
        return AccessDeniedError(
            "no usable Azure credentials were found",
            key=url,
            hint="Set an identity, AZURE_STORAGE_CONNECTION_STRING, or an account with a key.",
        )
    return no_answer(operation, endpoint, type(error).__name__, url)
