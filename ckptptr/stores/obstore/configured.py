"""obstore's clients from its own settings, as a platform gives them: Flyte 2, say.

obstore adds what the environment says (`AWS_*`, `GOOGLE_*`, `AZURE_*`), as the platform's own client does.
Only the bounds are ours. Then obstore sends all requests, and no filesystem is needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

from ckptptr.clock import Patience
from ckptptr.stores.azure.words import AZURE, metadata_name
from ckptptr.stores.gcs.words import GOOGLE
from ckptptr.stores.obstore.clouds import CHECKED, CHECKSUM, OnAzure, OnGCS, OnS3
from ckptptr.stores.obstore.lending import ANSWER, PATIENCE, limits
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.words import AMAZON
from ckptptr.stores.sdk import guarantee_at

BOUNDS = ("client_options", "retry_config")
"""Settings that are not taken over: Flyte 2 lets a request take 99,999 seconds."""


class _Configured:
    """A lender with settings; see `Lender`.

    Args:
        settings: what `obstore.store.from_url` takes: `config`, `credential_provider`, `region`, ...
    """

    name: ClassVar[str] = "obstore"
    scheme: ClassVar[str]
    _own: ClassVar[tuple[str, ...]]
    """How the host names of the cloud's own endpoints end."""
    _prefix: ClassVar[str]
    """How the variables of the environment begin that obstore reads."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        metadata: Mapping[str, str] | None = None,
        *,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
    ) -> None:
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self._settings = {name: value for name, value in settings.items() if name not in BOUNDS}
        self.answer = answer
        self._limits = limits(patience, answer)

    @cached_property  # each upload asks
    def guarantee(self) -> Guarantee:
        unproven = any(guarantee_at(url, self._own) is Guarantee.UNPROVEN for url in self._endpoints())
        return Guarantee.UNPROVEN if unproven else Guarantee.COMPARE_AND_SWAP

    def client(self, bucket: str, **more: Any) -> Any:
        from obstore.store import from_url

        return from_url(f"{self.scheme}://{bucket}", **self._settings, **self._limits, **more)

    def _endpoints(self) -> Iterator[str]:
        """The endpoints that the settings and the environment name; none: the cloud's own."""
        raise NotImplementedError

    def _said(self, *names: str) -> Iterator[str]:
        """What the settings say under these names, and the environment under the same with the prefix."""
        said = {**self._settings, **(self._settings.get("config") or {})}
        said |= {name: value for name, value in os.environ.items() if name.startswith(self._prefix)}
        short = ((name.lower().removeprefix(self._prefix.lower()), value) for name, value in said.items())
        yield from (str(value) for name, value in short if name in names and value)


class ConfiguredS3(_Configured, OnS3):
    """Amazon S3 and what speaks its language."""

    _own = AMAZON
    _prefix = "AWS_"

    @property
    def compares_parts(self) -> bool:
        """Amazon does; others are not asked."""
        return self.guarantee is Guarantee.COMPARE_AND_SWAP

    def comparing(self, key: str, /) -> Any | None:
        # botocore's switch, for those who have set it.
        if not self.compares_parts or "when_required" in self._said("request_checksum_calculation"):
            return None
        # Over TLS the checksum is enough. Without TLS the signature is all that protects the bytes.
        is_tls = not any(endpoint.startswith("http:") for endpoint in self._endpoints())
        return self.client(key.partition("/")[0], **CHECKSUM, unsigned_payload=is_tls)

    def checked(self, bucket: str, /) -> Any:
        return self.client(bucket, **CHECKED)

    def _endpoints(self) -> Iterator[str]:
        return self._said("endpoint", "endpoint_url", "endpoint_url_s3")


class ConfiguredGCS(_Configured, OnGCS):
    """Google Cloud Storage. A service account may name another endpoint: that of an emulator."""

    _own = GOOGLE
    _prefix = "GOOGLE_"

    def _endpoints(self) -> Iterator[str]:
        yield from self._said("base_url")
        for account in self._said("service_account", "service_account_path", "service_account_key"):
            with suppress(OSError, ValueError, AttributeError):
                text = account if account.lstrip().startswith("{") else _read(account)
                yield from filter(None, [json.loads(text).get("gcs_base_url")])


class ConfiguredAzure(_Configured, OnAzure):
    """Azure Blob Storage."""

    _own = AZURE
    _prefix = "AZURE_"

    def __init__(
        self, settings: Mapping[str, Any], metadata: Mapping[str, str] | None = None, **bounds: Any
    ) -> None:
        named = {metadata_name(name): value for name, value in (metadata or {}).items()}
        super().__init__(settings, named, **bounds)

    def _endpoints(self) -> Iterator[str]:
        yield from self._said("endpoint", "storage_endpoint")
        yield from self._said("use_emulator", "storage_use_emulator")


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
