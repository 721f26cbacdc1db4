"""What a gcsfs filesystem lends: its endpoint and its token. obstore speaks Google's XML API there.

Emulators speak that in parts or not at all. So away from Google the lane is open only with
`CKPTPTR_ENGINE=obstore`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timezone
from typing import Any, ClassVar

from google.auth.transport import requests as google_requests

from ckptptr.clock import Patience
from ckptptr.stores.gcs.words import GOOGLE
from ckptptr.stores.obstore.clouds import OnGCS
from ckptptr.stores.obstore.lending import ANSWER, PATIENCE, check_way, chosen, limits, refuse_unless
from ckptptr.stores.port import Guarantee
from ckptptr.stores.sdk import guarantee_at

_TOKEN_REQUEST: Any = google_requests.Request  # google-auth is typed in parts


class GCSLender(OnGCS):
    """Lends from a `gcsfs.GCSFileSystem`; away from Google only where `anywhere` or the engine says so."""

    name: ClassVar[str] = "gcsfs"

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        anywhere: bool | None = None,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
    ) -> None:
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self._filesystem = filesystem
        self._anywhere = chosen() == "obstore" if anywhere is None else anywhere
        self.answer = answer
        self._limits = limits(patience, answer)
        self._renewing = threading.Lock()

    @property
    def guarantee(self) -> Guarantee:
        return guarantee_at(str(self._filesystem._location), GOOGLE)

    def client(self, bucket: str) -> Any:
        from obstore.store import GCSStore

        filesystem = self._filesystem
        endpoint = str(filesystem._location)
        check_way(endpoint)
        is_google = self.guarantee is Guarantee.COMPARE_AND_SWAP
        refuse_unless(is_google or self._anywhere, "the endpoint is not Google's own")
        refuse_unless(not filesystem.requester_pays, "the requester pays")
        refuse_unless(not filesystem.session_kwargs, "session_kwargs are set")
        credentials = filesystem.credentials.credentials
        refuse_unless(not getattr(credentials, "quota_project_id", None), "another project has the quota")
        refuse_unless(credentials is not None or not is_google, "access is anonymous")
        return GCSStore(
            bucket,
            base_url=endpoint,
            skip_signature=False,
            **self._limits,
            credential_provider=self._token,
        )

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
