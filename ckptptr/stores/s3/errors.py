"""What botocore and s3fs raise, as our errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from aiohttp import ClientError as HttpError
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, ParamValidationError
from botocore.parsers import ResponseParserError

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    InvalidArgumentError,
    StoreUnavailableError,
)
from ckptptr.stores.line import OverdueError
from ckptptr.stores.s3.words import refusal
from ckptptr.stores.said import no_answer, overdue
from ckptptr.stores.sdk import PassingError, shown, unsendable

_FAILURES = (
    *(ClientError, BotoCoreError, ResponseParserError, HttpError, OSError, asyncio.TimeoutError),
    RecursionError,  # botocore follows the redirect of a gateway to another region again and again
)
_SETTINGS = (
    *(exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.ProfileNotFound),
    *(exceptions.NoAuthTokenError, exceptions.TokenRetrievalError, exceptions.SSOError),
    getattr(exceptions, "LoginError", exceptions.SSOError),  # of `aws login`; old botocores have none
    *(exceptions.ConfigNotFound, exceptions.ConfigParseError, exceptions.InvalidConfigError),
    exceptions.NoRegionError,
)
"""What botocore raises before it sends anything, since credentials are missing, wrong or too old."""
_CURE = (
    "Set a role, a profile that exists (AWS_PROFILE) or AWS_ACCESS_KEY_ID, and AWS_REGION if it asks for one;"
    " where SSO has expired: aws sso login."
)


@contextlib.contextmanager
def translated(operation: str, url: str, endpoint: Callable[[], str] = str) -> Iterator[None]:
    """Turn what the SDK raises inside into one of ours. `operation` is named as in the SDK."""
    try:
        yield
    except ClientError as error:
        raise _refused(error, operation, url) from error
    except OverdueError as error:
        raise PassingError(overdue(operation, endpoint(), error, url)) from error
    except _FAILURES as error:
        raise _failed(error, operation, url, endpoint()) from shown(error)
    except ValueError as error:
        raise unsendable(error, url) from None


def code_of(error: CkptptrError) -> str:
    """The server's own error code, where the error is an answer of the server."""
    cause = error.__cause__
    return str(cause.response["Error"].get("Code", "")) if isinstance(cause, ClientError) else ""


def _refused(error: ClientError, operation: str, url: str) -> CkptptrError:
    answer = error.response.get("Error", {})
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return refusal(str(answer.get("Code", "")), status, operation, url, answer.get("Message", ""))


def _failed(error: Exception, operation: str, url: str, endpoint: str) -> CkptptrError:
    if isinstance(error, _SETTINGS):
        problem = f"no usable AWS credentials were found ({type(error).__name__})"
        return AccessDeniedError(problem, key=url, hint=_CURE)
    if isinstance(error, CredentialRetrievalError):  # their server may answer the next time
        problem = f"the AWS credentials could not be renewed ({type(error).__name__})"
        return StoreUnavailableError(problem, key=url, hint=_CURE)
    if isinstance(error, ParamValidationError):
        return InvalidArgumentError(
            "the installed botocore does not take this request", key=url, hint="pip install --upgrade s3fs"
        )
    return no_answer(operation, endpoint, type(error).__name__, url)
