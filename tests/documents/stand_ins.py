"""`aws`, `gcloud` and `az`, as far as the documents use them: a bucket is a folder below `$BUCKETS`.

What they cannot check is the cloud: that a role has the name given, say. They do check that each command
line is one that these know, with no option that the documents made up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

BUCKETS = Path(os.environ["BUCKETS"])
Commands = argparse._SubParsersAction
KNOWN_ROLES = {"roles/storage.objectUser", "Storage Blob Data Contributor"}


def place(url: str) -> Path:
    scheme, separator, key = url.partition("://")
    if not separator or scheme not in {"s3", "gs"}:
        sys.exit(f"not a URL of a bucket: {url}")
    return BUCKETS / scheme / key


def read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    return (place(source) if "://" in source else Path(source)).read_bytes()


def write(destination: str, body: bytes) -> None:
    if destination in {"-", "/dev/stdout"}:
        sys.stdout.buffer.write(body)
        return
    path = place(destination) if "://" in destination else Path(destination)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def copy(arguments: argparse.Namespace) -> None:
    write(arguments.destination, read(arguments.source))


def cat(arguments: argparse.Namespace) -> None:
    write("-", read(arguments.url))


def ls(arguments: argparse.Namespace) -> None:
    folder = place(arguments.url)
    for path in sorted(folder.iterdir()):
        print(f"PRE {path.name}/" if path.is_dir() else path.name)


def lifecycle(arguments: argparse.Namespace) -> None:
    scheme, _, name = arguments.configuration.partition("://")
    if scheme != "file":
        sys.exit("the configuration is given as file://...")
    for rule in json.loads(Path(name).read_text())["Rules"]:
        if rule["Status"] != "Enabled" or "Filter" not in rule or "Expiration" in rule:
            sys.exit(f"not the rule that is meant: {rule}")
        int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])


def role(arguments: argparse.Namespace) -> None:
    if arguments.role not in KNOWN_ROLES:
        sys.exit(f"an unknown role: {arguments.role}")


def blob(arguments: argparse.Namespace) -> Path:
    return BUCKETS / "abfs" / arguments.container_name / arguments.name


def blob_upload(arguments: argparse.Namespace) -> None:
    path = blob(arguments)
    if path.exists() and not arguments.overwrite:
        sys.exit("The specified blob already exists.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Path(arguments.file).read_bytes())


def blob_download(arguments: argparse.Namespace) -> None:
    write(arguments.file, blob(arguments).read_bytes())


def nothing(_: argparse.Namespace) -> None:
    """A setting of the bucket: only its words are checked."""


def command(parsers: Commands, words: str) -> argparse.ArgumentParser:
    """The parser of a command of several words."""
    *above, last = words.split()
    for word in above:
        found = parsers.choices.get(word) or parsers.add_parser(word, allow_abbrev=False)
        if not hasattr(found, "below"):
            found.below = found.add_subparsers(required=True)  # type: ignore[attr-defined]
        parsers = found.below  # type: ignore[attr-defined]
    return parsers.add_parser(last, allow_abbrev=False)


def aws(top: Commands) -> None:
    one = command(top, "s3 cp")
    one.add_argument("source")
    one.add_argument("destination")
    one.set_defaults(run=copy)
    one = command(top, "s3 ls")
    one.add_argument("url")
    one.set_defaults(run=ls)
    one = command(top, "s3api put-bucket-lifecycle-configuration")
    one.add_argument("--bucket", required=True)
    one.add_argument("--lifecycle-configuration", dest="configuration", required=True)
    one.set_defaults(run=lifecycle)


def gcloud(top: Commands) -> None:
    one = command(top, "storage cp")
    one.add_argument("source")
    one.add_argument("destination")
    one.set_defaults(run=copy)
    one = command(top, "storage cat")
    one.add_argument("url")
    one.set_defaults(run=cat)
    one = command(top, "storage ls")
    one.add_argument("url")
    one.set_defaults(run=ls)
    one = command(top, "storage buckets add-iam-policy-binding")
    one.add_argument("url", type=place)
    one.add_argument("--member", required=True)
    one.add_argument("--role", required=True)
    one.set_defaults(run=role)
    one = command(top, "storage buckets update")
    one.add_argument("url", type=place)
    one.add_argument("--clear-soft-delete", action="store_true", required=True)
    one.set_defaults(run=nothing)


def az(top: Commands) -> None:
    for name, run in (("upload", blob_upload), ("download", blob_download)):
        one = command(top, f"storage blob {name}")
        for option in ("--account-name", "--container-name", "--name", "--file"):
            one.add_argument(option, required=True)
        one.add_argument("--auth-mode", choices=["key", "login"])
        one.add_argument("--overwrite", action="store_true")
        one.set_defaults(run=run)
    one = command(top, "role assignment create")
    for option in ("--assignee", "--scope", "--role"):
        one.add_argument(option, required=True)
    one.set_defaults(run=role)


def main() -> None:
    program, *words = sys.argv[1:]
    parser = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    {"aws": aws, "gcloud": gcloud, "az": az}[program](parser.add_subparsers(required=True))
    arguments = parser.parse_args(words)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
