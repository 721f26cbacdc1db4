"""How cost grows, in tables."""

from __future__ import annotations

from collections import Counter
from typing import Any


def section(growth: dict[str, Any]) -> str:
    """Empty where nothing was measured."""
    parts = [
        writer(growth[name])
        for name, writer in (
            ("attempts", _attempts),
            ("history", _history),
            ("files", _files),
            ("forward_copy", _forward_copy),
            ("memory", _memory),
        )
        if name in growth
    ]
    return "\n\n".join(["## Growth", *parts]) if parts else ""


def _attempts(found: list[dict[str, Any]]) -> str:
    lines = [
        f"| {each['attempts']} | {1000 * each['restore']:.1f} | {_kinds(each['requests'])} "
        f"| {each['save']} | {each['until_closed']} |"
        for each in found
    ]
    return (
        "![attempts](growth-attempts.png)\n\nA restore through LATEST of a small file, payload included; and "
        "the first save of the newest attempt, which looks for orphans in the home of each attempt while "
        "nobody waits.\n\n"
        "| attempts | restore, ms | its requests | requests of the save | with those in the background "
        "|\n|---:|---:|---|---:|---:|\n" + "\n".join(lines)
    )


def _history(found: list[dict[str, Any]]) -> str:
    lines = [
        f"| {each['kept']} | {each['before']} | {each['named']} | "
        + " | ".join(
            f"{1000 * each['seconds'][name]:.1f} | {len(each['requests'][name])}"
            for name in ("save", "restore", "history")
        )
        + f" | {len(each['requests']['first save'])} |"
        for each in found
    ]
    return (
        "![history](growth-history.png)\n\nSmall checkpoints. LATEST names 500 at most, and those "
        "that are pinned. The requests of a save are those that it makes until all is quiet, what it "
        "sweeps in the background included; its time ends when it returns. The first "
        "save of a process looks for orphans too, and reads every manifest while nobody waits.\n\n"
        "| kept | checkpoints before it | named by LATEST | save, ms | requests | restore, ms | requests "
        "| listing, ms | requests | requests of the first save of a process |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n" + "\n".join(lines)
    )


def _files(found: list[dict[str, Any]]) -> str:
    lines = [
        f"| {each['where']} | {each['client']} | {each['files']} | {each['save']:.2f} "
        f"| {_each(each, 'save')} | {each['restore']:.2f} | {_each(each, 'restore')} "
        f"| {each['peak'] / 2**20:.0f} | {each['requests'] or ''} |"
        for each in found
    ]
    return (
        "![files](growth-files.png)\n\nFiles of 100 bytes.\n\n"
        "| on | client | files | save, s | µs per file | restore, s | µs per file | peak MiB "
        "| requests of the save |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n" + "\n".join(lines)
    )


def _each(found: dict[str, Any], operation: str) -> str:
    return f"{1e6 * found[operation] / found['files']:.0f}"


def _forward_copy(copy: dict[str, int]) -> str:
    return (
        f"A forward copy of {copy['payload'] >> 20} MiB: {copy['requests']} requests, "
        f"{copy['sent']} bytes sent and {copy['received']} received by this machine, all of them control."
    )


def _memory(memory: dict[str, int]) -> str:
    return (
        f"A file of {memory['bytes'] >> 30} GiB on a local disk: at most {memory['save'] >> 20} MiB of "
        f"memory above the interpreter to save it, {memory['restore'] >> 20} MiB to restore it."
    )


def _kinds(methods: list[str]) -> str:
    counts = Counter(methods)
    return f"{len(methods)} ({', '.join(f'{count} {method}' for method, count in counts.items())})"
