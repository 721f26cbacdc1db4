"""LATEST edited by hand, end to end: what the next attempt restores, and the sentence that it says.

The same cases are the table of docs/recovery.md, word for word. What each byte means is in
`test_latest_by_people`; here a file is put into a bucket as people and their tools leave it.
"""

from __future__ import annotations

import codecs
import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import ckptptr
from ckptptr.checkpoints import Checkpoints
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.manifest import Lineage
from ckptptr.session.session import Session
from ckptptr.stores.open import open_store
from tests.cli.conftest import run, run_json

HANDBOOK = Path(__file__).parents[2] / "docs/recovery.md"


class Node:
    """A node of Flyte in a bucket, which had five checkpoints and keeps three: steps 3, 4 and 5."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.root = f"memory://{bucket}/data"
        self.store, _ = open_store(self.root)
        self.url = self._prefix("axq2rsxnmht57kq9sxpt", "n0")
        self.key = f"{self.url.removeprefix('memory://')}/LATEST"
        self.saved = self._save(self.url, *range(1, 6))
        self.other = self._save(self._prefix("axq2rsxnmht57kq9sxpt", "n1"), 77, node="n1")[77]
        self.foreign = self._save(self._prefix("another", "n0"), 88)[88]
        self.store.create(f"{bucket}/data/seeds/stock/model.pt", b"plain")
        self.store.create(f"{bucket}-2/x/model.pt", b"elsewhere")

    def _prefix(self, execution: str, node: str) -> str:
        return NodePrefix(
            root=self.root, project="flytesnacks", domain="development", execution=execution, node=node
        ).prefix

    def _save(self, url: str, *steps: int, node: str = "n0") -> dict[int, str]:
        with self.open(url, 0, node) as checkpoints:
            checkpoints.restore()
            return {step: checkpoints.save(b"%d" % step, step=step).reference for step in steps}

    def open(self, url: str, attempt: int, node: str = "n0") -> Checkpoints:
        """As a pod does: it knows which node it is."""
        _, key = open_store(url)
        ours = node_at(self.store, key, attempt=attempt, read_only=False)
        known = ours.lineage
        lineage = Lineage(
            project=known.project,
            domain=known.domain,
            execution=known.execution,
            node=node,
            task="train.train",
        )
        return Checkpoints(Session(self.store, replace(ours, lineage=lineage)))

    def edit(self, body: bytes) -> None:
        """As a browser or a command of the cloud uploads: over whatever is there."""
        self.store.replace(self.key, body, self.store.read(self.key)[1])

    @property
    def latest(self) -> bytes:
        return self.store.read(self.key)[0]

    def edited(self, **changes: object) -> bytes:
        return json.dumps({**json.loads(self.latest), **changes}, indent=2).encode()

    def name(self, step: int) -> str:
        return self.saved[step].rpartition("/")[2].removesuffix(".json")


@pytest.fixture
def node() -> Node:
    return Node(f"b{uuid.uuid4().hex}")  # not of tmp_path, whose names come again


OBEYED, FRESH, REFUSED = "resumes from it", "starts fresh", "goes on without it"
CHOSEN = "where a person chose it"


@dataclass(frozen=True)
class Case:
    """The bytes that somebody left in LATEST, what the next attempt does, and what is said about it.

    `step` is what it resumes from: of the three that are kept the newest is 5.
    """

    left: Callable[[Node], bytes]
    does: str
    says: str
    step: int | None = 5


def text(write: Callable[[Node], str], encoding: str = "utf-8") -> Callable[[Node], bytes]:
    return lambda node: write(node).encode(encoding)


def reordered(node: Node) -> bytes:
    document = json.loads(node.edited(checkpoint=node.saved[4]))
    return json.dumps(dict(sorted(document.items())), indent=4).encode()


def at_home(node: Node, step: int) -> str:
    return node.saved[step].partition("/manifests/")[0]


def commented_out(node: Node) -> bytes:
    """The old line kept as a comment above the new one."""
    old = f'  "checkpoint": "{node.saved[5]}",'
    new = f'  "checkpoint": "{node.saved[4]}",'
    return node.latest.replace(old.encode(), f"  // {old.strip()}\n{new}".encode())


def trailing_comma(node: Node) -> bytes:
    return f'{{\n  "checkpoint": "{node.saved[4]}",\n}}\n'.encode()


CASES: dict[str, Case] = {
    "the path of a manifest, by `echo`": Case(text(lambda n: f"{n.saved[4]}\n"), OBEYED, CHOSEN, 4),
    "the same by `echo` of cmd.exe: a blank and CRLF at the end": Case(
        text(lambda n: f"{n.saved[4]} \r\n"), OBEYED, CHOSEN, 4
    ),
    "a path in double, single or typographic quotes": Case(
        text(lambda n: f"\u201c{n.saved[4]}\u201d\n"), OBEYED, CHOSEN, 4
    ),
    "a path in a file of Notepad, with a byte order mark": Case(
        lambda n: codecs.BOM_UTF8 + n.saved[4].encode(), OBEYED, CHOSEN, 4
    ),
    "a path in UTF-16, by `>` of Windows PowerShell": Case(
        text(lambda n: f"{n.saved[4]}\r\n", "utf-16"), OBEYED, CHOSEN, 4
    ),
    "an id": Case(text(lambda n: n.name(4)), OBEYED, CHOSEN, 4),
    "a whole URI, copied from a console": Case(text(lambda n: f"{n.root}/{n.saved[4]}"), OBEYED, CHOSEN, 4),
    "JSON with only `checkpoint`": Case(
        lambda n: json.dumps({"checkpoint": n.saved[4]}).encode(), OBEYED, CHOSEN, 4
    ),
    "the whole file with another `checkpoint`": Case(
        lambda n: n.edited(checkpoint=n.saved[4]), OBEYED, CHOSEN, 4
    ),
    "the same with the keys in another order": Case(reordered, OBEYED, CHOSEN, 4),
    "the same with CRLF": Case(
        lambda n: n.edited(checkpoint=n.saved[4]).replace(b"\n", b"\r\n"), OBEYED, CHOSEN, 4
    ),
    "a home (`.../_flytecheckpoints/`), for its newest checkpoint": Case(
        text(lambda n: f"{at_home(n, 4)}/"), OBEYED, CHOSEN
    ),
    "a folder of plain files, as stock flytekit writes them": Case(
        text(lambda _: "seeds/stock/"), OBEYED, "a plain folder, unverified", None
    ),
    "an expired checkpoint that is not deleted yet": Case(text(lambda n: n.saved[2]), OBEYED, CHOSEN, 2),
    "a checkpoint of another node": Case(
        text(lambda n: n.other), OBEYED, "was named, and is taken although it belongs to node 'n1'", 77
    ),
    "a checkpoint of another execution": Case(
        text(lambda n: n.foreign),
        OBEYED,
        "was named, and is taken although it belongs to execution 'another'",
        88,
    ),
    "`none`": Case(text(lambda _: "none\n"), FRESH, "a fresh start: LATEST asks for it", None),
    "an old line kept as a comment (`//`, `#`, `/*`)": Case(
        commented_out, REFUSED, "LATEST is not a JSON object (line 2 has a comment, and JSON has none)"
    ),
    "a comma after the last key": Case(
        trailing_comma,
        REFUSED,
        "LATEST is not a JSON object (line 2 has a trailing comma: nothing follows it)",
    ),
    "a missing comma": Case(
        lambda n: n.latest.replace(b'",\n', b'"\n', 1),
        REFUSED,
        "LATEST is not a JSON object (line 3: expected ',' or '}')",
    ),
    "single or typographic quotes in JSON": Case(
        text(lambda n: f"{{\u201ccheckpoint\u201d: \u201c{n.saved[4]}\u201d}}"),
        REFUSED,
        "LATEST is not a JSON object (line 1 has \u201c where JSON has straight double quotes)",
    ),
    "a second `checkpoint` beside the first": Case(
        lambda n: n.latest.replace(b"{\n", f'{{\n  "checkpoint": "{n.saved[4]}",\n'.encode(), 1),
        REFUSED,
        'LATEST is not a JSON object ("checkpoint" is there twice)',
    ),
    "JSON without `checkpoint`": Case(lambda _: b'{"step": 4}', REFUSED, 'LATEST has no "checkpoint"'),
    "several lines that are not JSON": Case(
        text(lambda n: f"# {n.saved[5]}\n{n.saved[4]}\n"),
        REFUSED,
        "LATEST is neither JSON nor one line with a path (line 1 is a comment)",
    ),
    "an empty file": Case(lambda _: b"", REFUSED, "LATEST is empty"),
    "UTF-16 without a byte order mark": Case(
        text(lambda n: n.saved[4], "utf-16-le"),
        REFUSED,
        "LATEST has zero bytes in it: not text, or UTF-16 without a byte order mark",
    ),
    "a folder with nothing in it that can be restored; a node prefix": Case(
        text(lambda n: n.url), REFUSED, "no checkpoint here"
    ),
    "the id of a deleted checkpoint": Case(
        text(lambda n: n.name(1)), REFUSED, "no checkpoint of this node has that id"
    ),
    "the path of a deleted checkpoint": Case(text(lambda n: n.saved[1]), REFUSED, "there is no such object"),
    "the whole file with such a path: the next in its history is used": Case(
        lambda n: n.edited(checkpoint=n.saved[1], history=json.loads(n.latest)["history"][1:]),
        REFUSED,
        "there is no such object",
        3,
    ),
    "a path in another bucket": Case(
        text(lambda n: f"memory://{n.bucket}-2/x"),
        REFUSED,
        "the reference leaves the root (CKPTPTR_ALLOW_ROOTS lists what else may be named)",
    ),
    "a path on another cloud": Case(
        text(lambda _: "s3://bucket/x"), REFUSED, "the reference is in another kind of store than"
    ),
    "a path that begins with a slash": Case(
        text(lambda n: f"/{n.saved[4]}"), REFUSED, "the reference begins with a slash"
    ),
}


def as_table() -> str:
    """The cases, as the handbook has them."""
    rows = [f"| {left} | {case.does} | {case.says} |" for left, case in CASES.items()]
    return "\n".join(["| what LATEST holds | the next attempt | and says |", "|---|---|---|", *rows])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_person_left_is_obeyed_or_refused_with_a_sentence(
    node: Node, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    left = case.left(node)
    node.edit(left)
    told = run("doctor", node.url)
    assert (told.exit_code == 0) == (case.does != REFUSED), told.stdout
    assert case.does != REFUSED or case.says in told.stdout
    shown = run_json("show", node.url)
    assert (shown["checkpoint"] or {}).get("step") == case.step
    assert node.latest == left

    caplog.clear()
    with caplog.at_level(logging.INFO, "ckptptr"), node.open(node.url, 1) as checkpoints:
        folder = checkpoints.restore()
        found = checkpoints.resolution.found if checkpoints.resolution else None
    assert (found.manifest.step if found and found.manifest else None) == case.step
    assert (folder is None) == (case.does == FRESH)
    assert case.says in caplog.text
    assert json.loads(node.latest)["held"] is False  # taken up, once
    is_damage = "LATEST" in case.says and case.does == REFUSED
    kept = [node.store.read(entry.key)[0] for entry in node.store.list(node.key.rpartition("/")[0])]
    assert (left in kept) == is_damage  # what nobody could read is put aside, not lost


def test_the_handbook_has_this_table() -> None:
    assert as_table() in HANDBOOK.read_text(), f"docs/recovery.md should have:\n{as_table()}"


def test_an_upload_into_a_folder_called_latest_changes_nothing_and_doctor_says_so(node: Node) -> None:
    before = node.latest
    node.store.create(f"{node.key}/LATEST", b"none")  # aws s3 cp LATEST s3://.../LATEST/
    told = run("doctor", node.url)
    assert told.exit_code == 9
    assert "There is a folder LATEST, and no attempt reads what is in it" in told.stdout
    with node.open(node.url, 1) as checkpoints:
        checkpoints.restore()
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.found is not None
    assert json.loads(node.latest)["checkpoint"] == json.loads(before)["checkpoint"]


def test_a_run_that_is_alive_leaves_an_edit_alone_and_the_next_attempt_takes_it_up(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with node.open(node.url, 1) as alive:
        alive.restore()
        alive.save(b"6", step=6)
        node.edit(f"{node.saved[4]}\n".encode())
        caplog.clear()
        for step in (7, 8, 9, 10):
            alive.save(b"%d" % step, step=step)
        assert node.latest == f"{node.saved[4]}\n".encode()
        warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "LATEST is held" in warnings[0]
        beside = [c["step"] for c in run_json("log", node.url)["checkpoints"] if c["state"] == "unnamed"]
        assert 10 in beside

        with node.open(node.url, 2) as following:  # Flyte starts the next attempt, the old pod lives on
            following.restore()
            assert following.resolution is not None
            assert following.resolution.found is not None
            assert following.resolution.found.manifest is not None
            assert following.resolution.found.manifest.step == 4
            with pytest.raises(ckptptr.SupersededError, match="attempt 2 has taken over"):
                alive.save(b"11", step=11)
            following.save(b"5", step=5)
            assert json.loads(node.latest)["step"] == 5
