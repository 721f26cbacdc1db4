"""What an s3fs filesystem lends: its client's endpoint and region, its session's credentials."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

import fsspec.asyn

from ckptptr.clock import Patience
from ckptptr.errors import CkptptrError
from ckptptr.stores.obstore.clouds import CHECKED, CHECKSUM, OnS3
from ckptptr.stores.obstore.lending import ANSWER, PATIENCE, check_way, lent_until, limits, refuse_unless
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.client import S3Client, takes_checksums
from ckptptr.stores.s3.errors import code_of
from ckptptr.stores.s3.words import AMAZON, OTHER_BYTES
from ckptptr.stores.sdk import guarantee_at

_SAME = {  # settings of the filesystem that say nothing about how requests look
    "config_kwargs": {
        *("connect_timeout", "max_pool_connections", "read_timeout", "region_name", "retries"),
        *("request_checksum_calculation", "response_checksum_validation"),
    },
    "client_kwargs": {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "endpoint_url",
        "region_name",
    },
}
_OTHER_KINDS = ("--x-s3", "--table-s3", "-s3alias", "--ol-s3")
_OF_ITS_OWN = ("AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_", "AWS_CHECKSUM_ALGORITHM", "AWS_REQUEST_PAYER")
"""What obstore reads from the environment and s3fs does not."""


_CRC64_OF_NOTHING = "AAAAAAAAAAA="


class S3Lender(OnS3):
    """Lends from an `s3fs.S3FileSystem`."""

    name: ClassVar[str] = "s3fs"

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
        self.answer = answer
        self._limits = limits(patience, answer)

    @cached_property  # each upload asks
    def guarantee(self) -> Guarantee:
        return guarantee_at(S3Client(self._filesystem).endpoint(), AMAZON)

    @property
    def compares_parts(self) -> bool:
        """Amazon does. Others are not asked: what they refuse when an upload ends cannot be sent again."""
        return self.guarantee is Guarantee.COMPARE_AND_SWAP

    def client(self, bucket: str) -> Any:
        return self._client(bucket, self._meta(bucket), {})

    def comparing(self, key: str, /) -> Any | None:
        bucket = key.partition("/")[0]
        meta = self._meta(bucket)
        if not takes_checksums(meta.config) or not (self.compares_parts or self._refuses_other_bytes(key)):
            return None
        # Over TLS the checksum is enough. Without TLS the signature is all that protects the bytes.
        is_tls = str(meta.endpoint_url).startswith("https:")
        return self._client(bucket, meta, {**CHECKSUM, "unsigned_payload": is_tls})

    def checked(self, bucket: str, /) -> Any:
        return self._client(bucket, self._meta(bucket), CHECKED)

    def _refuses_other_bytes(self, key: str) -> bool:
        client, probe = S3Client(self._filesystem), f"{key.rpartition('/')[0]}/.probe-{uuid.uuid4().hex}"
        try:
            client.call("put_object", probe, once=True, Body=b"?", ChecksumCRC64NVME=_CRC64_OF_NOTHING)
        except CkptptrError as error:
            return code_of(error) in OTHER_BYTES
        with suppress(CkptptrError):  # a sweep of the checkpoint deletes it
            client.call("delete_object", probe)
        return False

    def _client(self, bucket: str, meta: Any, checksum: Mapping[str, Any]) -> Any:
        from obstore.store import S3Store

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
            **{"unsigned_payload": False, **checksum},
            **self._limits,
            credential_provider=self._credentials,
        )

    def _check(self, bucket: str) -> None:
        filesystem = self._filesystem
        refuse_unless(not filesystem.anon, "access is anonymous")
        refuse_unless(not filesystem.req_kw, "the requester pays")
        refuse_unless(not filesystem.s3_additional_kwargs, "s3_additional_kwargs are set")
        for name, same in _SAME.items():
            given = {key for key, value in getattr(filesystem, name).items() if value is not None}
            refuse_unless(given <= same, f"{name} has {', '.join(sorted(given - same))}")
        is_other = ":" in bucket or bucket.endswith(_OTHER_KINDS)  # an ARN, or an alias
        refuse_unless(not is_other, "it is no general purpose bucket")
        own = [name for name in os.environ if name.upper().startswith(_OF_ITS_OWN)]
        refuse_unless(not own, f"{', '.join(own)} is set, which s3fs does not read")

    def _meta(self, bucket: str) -> Any:
        """What the filesystem's own client knows of its endpoint and settings. Raises `UnlendableError`."""
        self._check(bucket)

        async def resolved() -> Any:
            await self._filesystem.set_session()
            return (await self._filesystem.get_s3(bucket)).meta

        return fsspec.asyn.sync(self._filesystem.loop, resolved)

    def _credentials(self) -> Any:
        """Those that the filesystem signs with now; obstore asks again before they expire."""
        filesystem = self._filesystem
        given = {**filesystem.client_kwargs}
        key = filesystem.key or given.get("aws_access_key_id")
        if key:
            secret = filesystem.secret or given.get("aws_secret_access_key")
            token = filesystem.token or given.get("aws_session_token")
            expires = None
        else:
            key, secret, token, expires = fsspec.asyn.sync(filesystem.loop, self._frozen)
        return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": expires}

    async def _frozen(self) -> tuple[str, str, str | None, datetime]:
        credentials = await self._filesystem.session.get_credentials()
        frozen = await credentials.get_frozen_credentials()
        until = lent_until(getattr(credentials, "_expiry_time", None))
        return frozen.access_key, frozen.secret_key, frozen.token, until
