"""Which folder of the package may import which; read from the sources, function bodies included."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import ckptptr

PACKAGE = Path(ckptptr.__file__).parent

LEAVES = "errors version clock wording settings hidden events logs lifetime"
"""What imports nothing of ours but each other."""

MAY_IMPORT = {
    "stores": "",
    "protocol": "stores",
    "transfer": "protocol stores",
    "session": "protocol stores transfer",
    "nodes": "protocol stores transfer",
    "checkpoints": "protocol session transfer",
    "standalone": "checkpoints nodes protocol session stores",
    "inspect": "nodes protocol stores transfer",
    "report": "inspect protocol stores transfer",
    "dropin": "checkpoints inspect nodes protocol report session stores transfer",
    "flyte": "checkpoints dropin nodes protocol session stores transfer",
    "flyte2": "checkpoints dropin nodes protocol session stores transfer",
    "testing": "checkpoints nodes protocol session stores",
    "cli": "inspect nodes protocol report session stores testing transfer",
    "framework": "checkpoints",
    "torch": "checkpoints framework session",
    "transformers": "checkpoints framework session torch",
    "accelerate": "checkpoints session torch",
    "keras": "checkpoints framework",
    "lightning": "checkpoints framework session torch",
    "__init__": "checkpoints protocol session standalone transfer",
}
"""A folder, or a module at the top: what it may import beside itself and the leaves."""

# An adapter knows the port, and nothing of another adapter. Only what opens stores knows all of them.
STORES = {
    "port": "",
    "urls": "",
    "room": "",
    "line": "",
    "said": "line",
    "sdk": "port",
    "in_flight": "room line",
    "emptied": "",
    "local": "port emptied",
    "memory": "port",
    "wrappers": "port",
    "capacity": "port room wrappers",
    "s3": "port capacity room line sdk said in_flight",
    "gcs": "port capacity room line sdk said in_flight",
    "azure": "port capacity room line sdk said in_flight emptied",
    "obstore": "port capacity room line sdk said wrappers s3 gcs azure in_flight emptied",
    "open": "port capacity urls sdk local memory obstore",
}


def imports(root: Path, within: str) -> Iterator[tuple[str, str, str]]:
    """`(importing file, its room, imported room)`; a room is a folder, or a module of `root` itself."""
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{within}."):
                rest = str(node.module).removeprefix(within).strip(".").split(".")[0]
                for name in [rest] if rest else [alias.name for alias in node.names]:
                    yield str(where), where.parts[0].removesuffix(".py"), name


@pytest.mark.parametrize(
    ("root", "within", "table", "leaves"),
    [
        pytest.param(PACKAGE, "ckptptr", MAY_IMPORT, LEAVES, id="ckptptr"),
        pytest.param(PACKAGE / "stores", "ckptptr.stores", STORES, "__init__", id="ckptptr.stores"),
    ],
)
def test_a_folder_imports_only_what_the_table_says(
    root: Path, within: str, table: dict[str, str], leaves: str
) -> None:
    allowed = {room: {room, *others.split(), *leaves.split()} for room, others in table.items()}
    allowed |= {leaf: set(leaves.split()) for leaf in leaves.split() if leaf not in allowed}
    found = list(imports(root, within))

    assert [f"{file} imports {target}" for file, room, target in found if target not in allowed[room]] == []
    unused = {(room, other) for room, others in table.items() for other in others.split()}
    assert unused - {(room, target) for _, room, target in found} == set()


def test_the_table_allows_no_circle() -> None:
    order: list[str] = []
    waiting = {room: set(others.split()) for room, others in MAY_IMPORT.items()}
    while ready := [room for room, others in waiting.items() if others <= set(order)]:
        order += ready
        for room in ready:
            del waiting[room]

    assert waiting == {}


def test_every_folder_says_what_lives_there() -> None:
    rooms = [path for path in PACKAGE.rglob("__init__.py") if "inject" not in path.parts]

    assert [str(path) for path in rooms if not ast.get_docstring(ast.parse(path.read_text()))] == []


NAMED_TWICE = {
    "Checkpoint": "of a user; and Lightning's, whose own is `ModelCheckpoint`",
    "PointerCheckpoint": "of Flyte 1, and of Flyte 2",
    "Restored": "an event of a test; and what a restore of a state of torch returns",
}
SHAPES = {"shapes.py", "root_shapes.py", "simulate_shapes.py"}
"""What `--json` prints is named like what it shows."""


def test_no_two_classes_have_the_same_name() -> None:
    found = Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        if path.name not in SHAPES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in found.items() if count > 1} == {*NAMED_TWICE}
