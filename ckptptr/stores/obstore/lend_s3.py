"""What an s3fs filesystem lends: its client's endpoint and region, its session's credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, ClassVar, Literal

import fsspec.asyn

from ckptptr.clock import Patience
from ckptptr.errors import CkptptrError
from ckptptr.stores.obstore.lending import ANSWER, LEASE, PATIENCE, check_way, limits, refuse_unless
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.client import S3Client
from ckptptr.stores.s3.errors import refusal
from ckptptr.stores.s3.store import AMAZON
from ckptptr.stores.sdk import guarantee_at

_SAME = {  # settings of the filesystem that say nothing about how requests look
    "config_kwargs": {"connect_timeout", "max_pool_connections", "read_timeout", "region_name", "retries"},
    "client_kwargs": {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "endpoint_url",
        "region_name",
    },
}
_OTHER_KINDS = ("--x-s3", "--table-s3", "-s3alias", "--ol-s3")
_OF_ITS_OWN = ("AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_", "AWS_CHECKSUM_ALGORITHM", "AWS_REQUEST")
"""What obstore reads from the environment and s3fs does not."""


_OPERATIONS = {
    "read": "get_object",
    "download": "get_object",
    "create": "put_object",
    "replace": "put_object",
    "upload": "upload_part",
    "list": "list_objects_v2",
    "delete": "delete_objects",
    "copy": "copy_object",
}


class S3Lender:
    """Lends from an `s3fs.S3FileSystem`."""

    name: ClassVar[str] = "s3fs"
    scheme: ClassVar[str] = "s3"
    version: ClassVar[Literal["e_tag", "version"]] = "e_tag"
    proves_blocks: ClassVar[bool] = True
    deletes_together: ClassVar[int] = 1000
    copies: ClassVar[int] = 5 * 1024**3  # more takes parts, which obstore does not copy

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
    ) -> None:
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self._filesystem = filesystem
        self._limits = limits(patience, answer)

    @property
    def guarantee(self) -> Guarantee:
        return guarantee_at(S3Client(self._filesystem).endpoint(), AMAZON)

    def client(self, bucket: str) -> Any:
        from obstore.store import S3Store

        self._check(bucket)
        meta = fsspec.asyn.sync(self._filesystem.loop, self._meta, bucket)
        endpoint, region, config = meta.endpoint_url, meta.region_name, meta.config
        check_way(endpoint)
        refuse_unless(config.signature_version in ("v4", "s3v4"), "requests are not signed with v4")
        refuse_unless(not config.proxies and not config.client_cert, "botocore has a proxy or certificate")
        style = config.s3 or {}
        refuse_unless(
            style.get("addressing_style") in (None, "auto", "path")
            and not style.get("use_accelerate_endpoint"),
            "buckets are addressed in a way of their own",
        )
        return S3Store(
            bucket,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,  # or the environment's would come first
            region="us-east-1" if region in (None, "aws-global") else region,
            virtual_hosted_style_request=False,
            skip_signature=False,
            **self._limits,
            credential_provider=self._credentials,
        )

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        return refusal(code, status, _OPERATIONS[operation], url, said)

    def _check(self, bucket: str) -> None:
        filesystem = self._filesystem
        refuse_unless(not filesystem.anon, "access is anonymous")
        refuse_unless(not filesystem.req_kw, "the requester pays")
        refuse_unless(not filesystem.s3_additional_kwargs, "s3_additional_kwargs are set")
        for name, same in _SAME.items():
            given = {key for key, value in getattr(filesystem, name).items() if value is not None}
            refuse_unless(given <= same, f"{name} has {', '.join(sorted(given - same))}")
        refuse_unless(not bucket.endswith(_OTHER_KINDS), "it is no general purpose bucket")
        own = [name for name in os.environ if name.upper().startswith(_OF_ITS_OWN)]
        refuse_unless(not own, f"{', '.join(own)} is set, which s3fs does not read")

    async def _meta(self, bucket: str) -> Any:
        await self._filesystem.set_session()
        client = await self._filesystem.get_s3(bucket)
        return client.meta

    def _credentials(self) -> Any:
        """Those that the filesystem signs with now; obstore asks again before the lease is over."""
        filesystem = self._filesystem
        given = {**filesystem.client_kwargs}
        key = filesystem.key or given.get("aws_access_key_id")
        if key:
            secret = filesystem.secret or given.get("aws_secret_access_key")
            token = filesystem.token or given.get("aws_session_token")
            expires = None
        else:
            key, secret, token = fsspec.asyn.sync(filesystem.loop, self._frozen)
            expires = datetime.now(timezone.utc) + LEASE
        return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": expires}

    async def _frozen(self) -> tuple[str, str, str | None]:
        credentials = await self._filesystem.session.get_credentials()
        frozen = await credentials.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token
