"""What a process is told: variables, and the paths and names of Flyte. All begin from valid ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

from ckptptr.errors import CkptptrError
from ckptptr.flyte.handed_on import handed_on
from ckptptr.flyte.identity import identify
from ckptptr.nodes.flyte_actions import Action
from ckptptr.nodes.flyte_homes import ActionHome, Home
from ckptptr.nodes.flyte_identity import given
from ckptptr.nodes.flyte_node import node_of
from ckptptr.nodes.flyte_paths import NodePrefix, array_node, node_uid
from ckptptr.nodes.plain import root_at
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.candidates import Candidates
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.node import Node
from ckptptr.protocol.resolve import Resolver
from ckptptr.protocol.retention import retention_of
from ckptptr.session.cohort import _Agent
from ckptptr.session.rank import rank_and_size
from ckptptr.settings import HANDED_ON, SETTINGS, check_all
from ckptptr.stores.memory import MemoryStore
from tests.fuzz.case import Told
from tests.fuzz.damage import TEXTS
from tests.helpers import FakeClock

_VALID = {
    **{
        "FLYTE_INTERNAL_EXECUTION_ID": "exec",
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_ATTEMPT_NUMBER": "1",
    },
    **{
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "d",
        "FLYTE_INTERNAL_TASK_NAME": "t",
        "FLYTE_INTERNAL_TASK_VERSION": "v",
    },
    **{
        "RUN_NAME": "run",
        "ACTION_NAME": "a0",
        "_U_RUN_BASE": "memory://bucket/rest",
        "FLYTE_K8S_ARRAY_INDEX": "3",
    },
    **{"RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "r", "GROUP_RANK": "0"},
    **{"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"},
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
    **{
        "CKPTPTR_ACROSS_PARENT_RETRIES": "1",
        "CKPTPTR_SEED": "memory://bucket/seed",
        "CKPTPTR_KEEP_BEST": "loss:min:3",
    },
    **{"CKPTPTR_ALLOW_ROOTS": "memory://bucket/x s3://y/z", "CKPTPTR_ROUND": "localhost:1/r/0/0/0 token"},
}
_NUMBERS = st.sampled_from(
    ["0", "00", "1", "-1", "9" * 18, "9" * 19, "9" * 5000, "\u0663", "1e400", "nan", "1.5", " 1 "]
)
_WORDS = TEXTS.filter(lambda text: "\0" not in text) | _NUMBERS
_NAMES = sorted({*_VALID, *(setting.name for setting in SETTINGS)})


def _homes() -> list[str]:
    def node(name: str, attempt: int, execution: str = "exec", **rest: tuple[str, ...]) -> str:
        place = NodePrefix(
            root="memory://bucket/data", project="p", domain="d", execution=execution, node=name, **rest
        )
        return place.homes_of(attempt)[0]

    return [
        *(node("n0", attempt) for attempt in (0, 1, 2)),
        *(node("n0", 1, "other"), node("n0", 0, infix=("union",)), node(node_uid("n0/0/n1/2/n3"), 1)),
        *(node(array_node("n0", 1, 3), 0), node("n0", 10**19), node(node_uid("a" * 30), 3, "e" * 60)),
        *(
            f"memory://bucket/ab/rest/a0/{attempt}/_flytecheckpoints"
            for attempt in ("1", "2", "9" * 18, "9" * 5000)
        ),
    ]


HOMES = _homes()
_OUTPUTS = [
    f"memory://bucket/meta/p-d-exec/{rest}" for rest in ("n0/data/1", "n0/data/0/n1/2/n3/1", "n0/data/1/3/0")
]


@st.composite
def _path(draw: st.DrawFn, valid: list[str]) -> str:
    path = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 2))):
        parts = path.split("/")
        at = draw(st.integers(0, len(parts) - 1))
        parts[at : at + draw(st.integers(0, 2))] = draw(st.lists(_WORDS | st.just(parts[at]), max_size=2))
        path = "/".join(parts)
    return path


@st.composite
def tellings(draw: st.DrawFn) -> Told:
    environ = {name: value for name, value in _VALID.items() if draw(st.integers(0, 5))}
    if draw(st.booleans()):
        for name in ("RUN_NAME", "ACTION_NAME", "_U_RUN_BASE"):
            environ.pop(name, None)
    for name in draw(st.lists(st.sampled_from(_NAMES), max_size=4)):
        environ[name] = draw(_WORDS | _path([*HOMES, *_OUTPUTS]))
    if draw(st.integers(0, 3)) == 0:
        environ[HANDED_ON.name] = draw(
            _WORDS | st.sampled_from(["[" * 2000, '{"checkpoint_path": 1}', "9" * 5000])
        )
    return Told(
        draw(_path(HOMES)), draw(st.none() | _path(HOMES)), draw(st.none() | _path(_OUTPUTS)), environ
    )


def hear(told: Told) -> str:
    """Do with it what a pod does until it has restored: from an empty bucket; how it ended."""
    environ = told.environ
    for setting in SETTINGS:
        _or_error(lambda setting=setting: setting.read(environ))
    _or_error(lambda: check_all(environ))
    _or_error(lambda: retention_of(environ))
    _or_error(lambda: rank_and_size(None, None, environ))
    _or_error(lambda: _Agent.of(environ))
    handed_on(environ, checkpoint_path=told.home)
    for path in (told.home, told.previous or "", told.outputs or ""):
        NodePrefix.parse(path), Home.parse(path), ActionHome.parse(path)
    _or_error(lambda: _of_flyte_2(told))
    store = MemoryStore()
    try:
        for key in ("bucket/seed/model", "bucket/rest/model"):
            store.create(key, b"1")
        root = root_at(store, "bucket/data", environ)
        seed_of(store, root, environ.get("CKPTPTR_SEED", ""))
        identity = identify(
            checkpoint_path=told.home,
            prev_checkpoint=told.previous,
            output_prefix=told.outputs,
            environ=environ,
        )
        if identity is None:
            return "no pod"
        return _restored(node_of(identity, store, environ), store)
    except CkptptrError as error:
        return error.code


def _of_flyte_2(told: Told) -> str:
    """As `ckptptr.flyte2.place`, which needs the SDK."""
    environ, home = told.environ, given(told.home)
    action = Action.read(
        home,
        run=environ.get("RUN_NAME", ""),
        name=environ.get("ACTION_NAME", ""),
        base=given(environ.get("_U_RUN_BASE")) or "",
    )
    if action is None:
        return "no action"
    identity = action.identity(project="p", domain="d", previous=given(told.previous), task="t", version="v")
    store = MemoryStore()
    return _restored(node_of(identity, store, environ), store)


def _restored(node: Node, store: MemoryStore) -> str:
    clock = FakeClock()
    latest = Latest(store, node.prefix, clock, "")
    return Resolver(Candidates(store, node, clock), latest).resolve(lambda _: None).verdict.name


def _or_error(ask: Callable[[], object]) -> None:
    with suppress(CkptptrError):
        ask()
