"""How cost grows, in plots: log-log, so that a straight line of slope one is linear growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report.cells import OURS
from benchmarks.report.drawing import COLOURS, figure, grow, save

_COLOUR = {"ckptptr": COLOURS[OURS], "stock": COLOURS["stock"]}
_DASH = {"local disk": ":", "null": "-", "the last three": "-", "all": "--"}
_HISTORY_COLOURS = {"save": "#0072b2", "restore": "#d55e00", "history": "#009e73"}
_LABELS = {"save": "save", "restore": "restore", "history": "listing the history"}


def write(growth: dict[str, Any], folder: Path) -> None:
    """Those for which there are records."""
    for name, draw in (("attempts", _attempts), ("history", _history), ("files", _files)):
        if name in growth:
            with figure(10, 4, 2) as (drawn, axes):
                draw(growth[name], *axes)
                lines, labels = axes[-1].get_legend_handles_labels()
                drawn.legend(lines, labels, loc="lower center", ncols=3, fontsize=8, handlelength=4)
                save(drawn, folder / f"growth-{name}.png", bottom=0.12)


def _attempts(found: list[dict[str, Any]], seconds: Any, requests: Any) -> None:
    attempts = [each["attempts"] for each in found]
    seconds.plot(attempts, [1000 * each["restore"] for each in found], "o-", label="restore")
    requests.plot(attempts, [len(each["requests"]) for each in found], "o-", label="restore")
    requests.plot(attempts, [each["save"] for each in found], "s-", label="first save, until it returns")
    requests.plot(
        attempts, [each["until_closed"] for each in found], "s:", label="with those in the background"
    )
    _finish(seconds, requests, "attempts", "Attempts")


def _history(found: list[dict[str, Any]], seconds: Any, requests: Any) -> None:
    for kept in dict.fromkeys(each["kept"] for each in found):
        of_one = [each for each in found if each["kept"] == kept]
        before = [each["before"] for each in of_one]
        for name, colour in _HISTORY_COLOURS.items():
            style = {
                "color": colour,
                "linestyle": _DASH[kept],
                "marker": "o",
                "label": f"{_LABELS[name]}, kept: {kept}",
            }
            seconds.plot(before, [1000 * each["seconds"][name] for each in of_one], **style)
            requests.plot(before, [len(each["requests"][name]) for each in of_one], **style)
    _finish(seconds, requests, "checkpoints before it", "Small checkpoints")


def _files(found: list[dict[str, Any]], saves: Any, restores: Any) -> None:
    for axes, operation in ((saves, "save"), (restores, "restore")):
        for where, client in dict.fromkeys((each["where"], each["client"]) for each in found):
            of_one = [each for each in found if (each["where"], each["client"]) == (where, client)]
            axes.plot(
                [each["files"] for each in of_one],
                [each[operation] for each in of_one],
                color=_COLOUR[client],
                linestyle=_DASH[where],
                marker="o",
                label=f"{client}, {where}",
            )
        grow(axes, operation, "files of 100 bytes", "seconds (median)")


def _finish(seconds: Any, requests: Any, label: str, title: str) -> None:
    grow(seconds, f"{title}: time", label, "ms (median)")
    grow(requests, f"{title}: requests", label, "requests")
