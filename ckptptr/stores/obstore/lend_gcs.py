"""What a gcsfs filesystem lends: its endpoint and its token. obstore speaks Google's XML API there.

Emulators speak that in parts or not at all, so that away from Google the lane is open only to those who
ask for it (`CKPTPTR_ENGINE=obstore`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timezone
from typing import Any, ClassVar
from urllib.parse import urlsplit

from google.auth.transport import requests as google_requests

from ckptptr.errors import CkptptrError
from ckptptr.stores.gcs.errors import refusal
from ckptptr.stores.obstore.lending import CLIENT_OPTIONS, RETRIES, check_way, refuse_unless

_TOKEN_REQUEST: Any = google_requests.Request  # google-auth is typed in parts


class GCSLender:
    """Lends from a `gcsfs.GCSFileSystem`."""

    filesystem_name: ClassVar[str] = "gcsfs"
    takes_blocks: ClassVar[bool] = True

    def __init__(self, filesystem: Any, metadata: Mapping[str, str] | None, *, forced: bool) -> None:
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self._filesystem = filesystem
        self._forced = forced
        self._renewing = threading.Lock()

    def client(self, bucket: str) -> Any:
        from obstore.store import GCSStore

        filesystem = self._filesystem
        endpoint = str(filesystem._location)
        check_way(endpoint)
        is_google = (urlsplit(endpoint).hostname or "").endswith(".googleapis.com")
        refuse_unless(is_google or self._forced, "the endpoint is not Google's own")
        refuse_unless(not filesystem.requester_pays, "the requester pays")
        refuse_unless(not filesystem.session_kwargs, "session_kwargs are set")
        credentials = filesystem.credentials.credentials
        refuse_unless(not getattr(credentials, "quota_project_id", None), "another project has the quota")
        refuse_unless(credentials is not None or not is_google, "access is anonymous")
        return GCSStore(
            bucket,
            base_url=endpoint,
            skip_signature=False,
            client_options=CLIENT_OPTIONS,
            retry_config=RETRIES,
            credential_provider=self._token,
        )

    def refusal(self, code: str, status: int, url: str) -> CkptptrError:
        return refusal("upload", status, "", url)

    def _token(self) -> Any:
        credentials = self._filesystem.credentials.credentials
        if credentials is None:  # an emulator, which asks for none; obstore cannot send none
            return {"token": "anonymous", "expires_at": None}
        with self._renewing:
            if not credentials.valid:
                credentials.refresh(_TOKEN_REQUEST())
            expiry = credentials.expiry
            return {
                "token": credentials.token,
                "expires_at": None if expiry is None else expiry.replace(tzinfo=timezone.utc),
            }
