"""What an adlfs filesystem lends: its service client's endpoint, and the key, signature or token there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import fsspec.asyn
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from ckptptr.clock import Patience
from ckptptr.stores.azure.words import AZURE, metadata_name
from ckptptr.stores.obstore.clouds import OnAzure
from ckptptr.stores.obstore.lending import (
    ANSWER,
    PATIENCE,
    UnlendableError,
    check_way,
    lent_until,
    limits,
    refuse_unless,
)
from ckptptr.stores.port import Guarantee
from ckptptr.stores.sdk import guarantee_at

_SCOPE = "https://storage.azure.com/.default"


class AzureLender(OnAzure):
    """Lends from an `adlfs.AzureBlobFileSystem`."""

    name: ClassVar[str] = "adlfs"

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
    ) -> None:
        self.metadata: Mapping[str, str] = {metadata_name(n): value for n, value in (metadata or {}).items()}
        self._filesystem = filesystem
        self.answer = answer
        self._limits = limits(patience, answer)

    @property
    def guarantee(self) -> Guarantee:
        return guarantee_at(str(self._filesystem.service_client.url), AZURE)

    def client(self, bucket: str) -> Any:
        from obstore.store import AzureStore

        service = self._filesystem.service_client
        place = urlsplit(str(service.url))
        endpoint = f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}"
        check_way(endpoint)
        refuse_unless(service.account_name, "the endpoint names no account")
        refuse_unless(getattr(service, "_location_mode", "primary") == "primary", "it reads the secondary")
        return AzureStore(
            bucket,
            account_name=service.account_name,
            endpoint=endpoint,
            skip_signature=False,
            **self._limits,
            credential_provider=_provider(self._filesystem, service, place.query),
        )


def _provider(filesystem: Any, service: Any, query: str) -> Callable[[], Any]:
    """A function that gives what the service client signs with at that moment."""
    credential = service.credential
    if "sig=" in query:
        return lambda: _signature(query)
    if isinstance(credential, AzureSasCredential):
        return lambda: _signature(credential.signature.lstrip("?"))
    if isinstance(credential, AzureNamedKeyCredential):
        return lambda: {"access_key": credential.named_key.key, "expires_at": lent_until()}
    if hasattr(credential, "account_key"):
        return lambda: {"access_key": credential.account_key, "expires_at": None}
    if hasattr(credential, "get_token"):

        def token() -> Any:
            found = fsspec.asyn.sync(filesystem.loop, credential.get_token, _SCOPE)
            return {
                "token": found.token,
                "expires_at": datetime.fromtimestamp(found.expires_on, timezone.utc),
            }

        return token
    if credential is None:
        raise UnlendableError("access is anonymous")
    raise UnlendableError(f"credentials of an unknown kind ({type(credential).__name__})")


def _signature(query: str) -> Any:
    """A shared access signature. The program may put another in its place, before this one expires."""
    token = parse_qsl(query)
    expires = None
    with suppress(ValueError):
        expires = datetime.fromisoformat(dict(token).get("se", "").replace("Z", "+00:00"))
        expires = expires if expires.tzinfo else expires.replace(tzinfo=timezone.utc)
    return {"sas_token": token, "expires_at": lent_until(expires)}
