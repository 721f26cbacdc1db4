"""This machine: what is installed and set. A pod may differ: run `ckptptr doctor` in its image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata

from ckptptr.cli.checks.finding import note, ok, problem
from ckptptr.errors import InvalidArgumentError
from ckptptr.inspect import shapes
from ckptptr.settings import DISABLE, SETTINGS
from ckptptr.version import __version__

PACKAGES = ("flytekit", "fsspec", "s3fs", "gcsfs", "adlfs")
_METADATA = "FLYTE_PERSISTENCE_ATTACH_EXECUTION_METADATA"


def version_of(package: str) -> str | None:
    """The installed version; nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions(_: Mapping[str, str]) -> Iterator[shapes.Finding]:
    said = [f"{name} {version_of(name) or '(none)'}" for name in PACKAGES]
    yield ok("versions", f"ckptptr {__version__} with {', '.join(said)}.")


def adlfs_with_flytekit(_: Mapping[str, str]) -> Iterator[shapes.Finding]:
    """flytekit 1.16 hands adlfs `metadata` beside its own keyword, and adlfs 2026.2 began to take one."""
    adlfs, flytekit = version_of("adlfs"), version_of("flytekit")
    if adlfs is None or flytekit is None:
        return
    if _release(adlfs) < (2026, 2) or _release(flytekit)[:2] != (1, 16) or not attaches_metadata():
        return
    yield problem(
        "adlfs-with-flytekit",
        f"adlfs {adlfs} together with flytekit {flytekit} makes every upload of flytekit's own fail on Azure"
        " (TypeError: multiple values for keyword argument 'metadata'): outputs, decks, stock checkpoints."
        f" Setting {_METADATA}=false in the pod cures it as well.",
        type="pip install 'adlfs<2026.2'",
    )


def attaches_metadata() -> bool:
    """flytekit's own answer, from its environment and configuration file; its default where it has none."""
    try:
        from flytekit.configuration import DataConfig

        return bool(DataConfig.auto().generic.attach_execution_metadata)
    except Exception:  # noqa: BLE001 - a flytekit that cannot be imported is not what is asked about here
        return True


def _release(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    numbers = [part for part in parts[:2] if part.isdecimal()]
    return tuple(map(int, numbers))


def entry_point(_: Mapping[str, str]) -> Iterator[shapes.Finding]:
    names = {point.name for point in metadata.entry_points(group="flytekit.plugins")}
    if version_of("flytekit") is None:
        yield note("entry-point", "flytekit is not installed here, so that no task of Flyte can run here.")
    elif "ckptptr" in names:
        yield ok("entry-point", "flytekit loads ckptptr by itself: unchanged tasks use it.")
    else:
        yield problem(
            "entry-point",
            "ckptptr is not installed as a package: flytekit does not load it, and unchanged tasks use stock"
            " checkpoints.",
            type="pip install 'ckptptr[flytekit]'",
        )


def disabled(environ: Mapping[str, str]) -> Iterator[shapes.Finding]:
    if DISABLE.read(environ):
        yield note(
            "disabled",
            f"{DISABLE.name} is {environ[DISABLE.name]!r} here: tasks use stock flytekit checkpoints, and"
            " ckptptr does nothing.",
            type=f"unset {DISABLE.name}",
        )


def settings(environ: Mapping[str, str]) -> Iterator[shapes.Finding]:
    for setting in SETTINGS:
        try:
            setting.read(environ)
        except InvalidArgumentError as error:
            yield problem("settings", f"{error}.", type=f"unset {setting.name}")


CHECKS: tuple[Callable[[Mapping[str, str]], Iterable[shapes.Finding]], ...] = (
    versions,
    adlfs_with_flytekit,
    entry_point,
    disabled,
    settings,
)


def findings(environ: Mapping[str, str] = os.environ) -> list[shapes.Finding]:
    return [finding for check in CHECKS for finding in check(environ)]
