"""Delete one S3 object by a signed URL: obstore sends only deletions of many, which some servers refuse."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ckptptr.stores.obstore.lending import ANSWER

_VALID = timedelta(minutes=15)
_LONGEST = 64 * 1024
"""Of an error document that many bytes are read."""


def delete_signed(sign: Callable[[Any, str, str, timedelta], str], client: Any, path: str) -> None:
    """Send the request once.

    Args:
        sign: obstore's.

    Raises:
        OSError: it failed; the text is as obstore words it, and without the signature.
    """
    url = sign(client, "DELETE", path, _VALID)
    request = urllib.request.Request(url, method="DELETE")  # noqa: S310 - it is the store's
    try:
        with urllib.request.urlopen(request, timeout=ANSWER):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(_LONGEST).decode(errors="replace")
        raise OSError(f"status code: {error.code}: {said}") from None
    except OSError as error:
        kind = "Timeout" if isinstance(getattr(error, "reason", error), TimeoutError) else "Connect"
        raise OSError(f"Error performing DELETE {url.partition('?')[0]} kind: {kind}") from None
