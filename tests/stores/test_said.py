"""What servers say of a refusal, and what our errors make of it: the sentence, the cure, and no secret."""

from __future__ import annotations

import pytest

from ckptptr.errors import AccessDeniedError
from ckptptr.stores.azure import errors as azure
from ckptptr.stores.gcs import words as gcs
from ckptptr.stores.s3 import errors as s3
from ckptptr.stores.said import host_of, sentence

ROLE = "User: arn:aws:sts::123456789012:assumed-role/train/i-0 is not authorized to perform"
KMS = f'{ROLE}: kms:GenerateDataKey on resource: "arn:aws:kms:eu-west-1:123456789012:key/11-22" because no'
SERVICE = "train@project.iam.gserviceaccount.com does not have"
POLICY = "A policy denies it, and no grant overrules that: change the policy."


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Access Denied", "Grant s3:PutObject."),
        (f"{KMS} identity-based policy allows the kms:GenerateDataKey action", "Grant kms:GenerateDataKey."),
        (f"{ROLE}: s3:PutObject with an explicit deny in a service control policy", POLICY),
        (f"{ROLE}: s3:PutObjectTagging, no session policy allows it", "Grant s3:PutObjectTagging."),
    ],
)
def test_a_refusal_of_s3_names_what_its_own_sentence_names(said: str, hint: str) -> None:
    error = s3.refusal("AccessDenied", 403, "put_object", "s3://b/x", said)
    assert (type(error), error.hint) == (AccessDeniedError, hint)
    assert (said in error.message) == (said != "Access Denied")


@pytest.mark.parametrize("code", ["KMS.DisabledException", "KMS.NotFoundException"])
def test_a_key_that_cannot_be_used_is_no_failure_of_the_store(code: str) -> None:
    error = s3.refusal(code, 400, "put_object", "s3://b/x", "arn:aws:kms:x:1:key/2 is disabled.")
    assert isinstance(error, AccessDeniedError)
    assert 'KMS key cannot be used ("arn:aws:kms:x:1:key/2 is disabled")' in error.message


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (f"{SERVICE} storage.objects.create access to the object.", "Grant storage.objects.create."),
        (f"{SERVICE} serviceusage.services.use access to the project.", "Grant serviceusage.services.use."),
        ("Permission denied on Cloud KMS key.", "role cloudkms.cryptoKeyEncrypterDecrypter"),
        ("Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: a", POLICY),
    ],
)
def test_a_refusal_of_google_names_what_its_own_sentence_names(said: str, hint: str) -> None:
    error = gcs.refusal("forbidden", 403, "create", "gs://b/x", said)
    assert isinstance(error, AccessDeniedError)
    assert hint in error.hint
    assert said.rstrip(".") in error.message


def test_a_refusal_of_azure_shows_its_own_sentence_and_not_what_follows() -> None:
    said = "This request is not authorized to perform this operation.\nRequestId:1\nsignedstring:a"
    error = azure.refusal("AuthorizationFailure", 403, "upload_blob", "abfs://c/x", said)
    assert error.message == (
        'Azure refused to upload_blob ("This request is not authorized to perform this operation")'
    )
    vault = azure.refusal("KeyVaultEncryptionKeyNotFound", 403, "upload_blob", "abfs://c/x", said)
    assert "Key Vault" in vault.hint


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://x.example/a?sig=hush&b=1 and b", "see https://x.example/a and b"),
        ("see https://u:hush@x.example/a", "see https://x.example/a"),
        ("sig=hush, access_token=hush SecretAccessKey=hush", "sig=... access_token=... SecretAccessKey=..."),
        (f"the token eyJ{'hush' * 30}", "the token ..."),
        ("<html>hush</html>", ""),
        ('{"message": "hush"}', ""),
        ("two\x1b[31m words\nhush", "two [31m words"),
        (None, ""),
    ],
)
def test_a_secret_or_a_page_in_a_sentence_is_not_shown(said: object, shown: str) -> None:
    assert sentence(said) == shown


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://s3.example:9000/path?sig=hush", "https://s3.example:9000"),
        ("https://u:hush@s3.example", ""),
        ("https://u:hush/hush@s3.example", ""),
        ("u:hush@s3.example", ""),
        ("", ""),
    ],
)
def test_an_endpoint_is_named_without_what_may_be_a_secret(endpoint: str, host: str) -> None:
    assert host_of(endpoint) == host
