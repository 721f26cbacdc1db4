"""Which node and which attempt this pod is, deduced from the strings a pod knows.

No variable tells a pod its node id, and the paths of a task may have a layout that we have never seen. So one
check decides: **compute the own home; only if it equals the checkpoint path that Flyte gave, the homes of
other attempts, computed in the same way, are right.** If it does not, the identity says why, still names one
stable prefix for the node, and computes no homes.

The facts come from (Flyte v1.16.8, flytekit 1.16.31):

- `--output-prefix`: `.../<project>-<domain>-<execution>/<node>/data/<attempt>[/<child>/<attempt>...]`,
  not hashed. The workers of kfpytorch's Elastic with start method spawn have none.
- the environment, for the execution; its short names are those of flytekit's `setup_execution`.
- the checkpoint path itself: a uid that is not hashed can be read.

`ckptptr.nodes.flyte_actions` reads what a pod of Flyte 2 knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import NamedTuple

from ckptptr.errors import UnidentifiedError
from ckptptr.nodes.flyte_actions import Action
from ckptptr.nodes.flyte_homes import Home
from ckptptr.nodes.flyte_identity import FlyteIdentity, Recovered, check_names, given
from ckptptr.nodes.flyte_paths import UID_LIMITS, NodePrefix, array_node, node_uid
from ckptptr.protocol.names import DIGITS
from ckptptr.stores.urls import bucket_of

_EXECUTION = ("FLYTE_INTERNAL_EXECUTION_ID", "_F_NM")
_PROJECT = ("FLYTE_INTERNAL_EXECUTION_PROJECT", "_F_PRJ")
_DOMAIN = ("FLYTE_INTERNAL_EXECUTION_DOMAIN", "_F_DM")
_TASK = ("FLYTE_INTERNAL_TASK_NAME", "_F_TK_NM")
_VERSION = ("FLYTE_INTERNAL_TASK_VERSION", "_F_TK_V")
_ATTEMPT = ("FLYTE_ATTEMPT_NUMBER",)
_ARRAY_INDEX = ("FLYTE_K8S_ARRAY_INDEX",)
_RUN, _ACTION, _BASE = "RUN_NAME", "ACTION_NAME", "_U_RUN_BASE"  # of Flyte 2

_NUMBER = re.compile(r"[0-9]+")


def identify(
    *,
    checkpoint_path: str,
    prev_checkpoint: str | None,
    output_prefix: str | None,
    environ: Mapping[str, str],
) -> FlyteIdentity | None:
    """Who this pod is; None in a local run.

    Args:
        checkpoint_path: `--checkpoint-path`, a URL or a local path.
        prev_checkpoint: `--prev-checkpoint`.
        output_prefix: `--output-prefix`, in a task `ExecutionParameters.output_metadata_prefix`.
        environ: the pod's environment.

    Raises:
        UnidentifiedError: the node is unknown, so no prefix is surely its own.
    """
    home, previous, outputs = map(given, (checkpoint_path, prev_checkpoint, output_prefix))
    run, name, base = (environ.get(variable, "") for variable in (_RUN, _ACTION, _BASE))
    action = Action.read(home, run=run, name=name, base=base)
    execution = action.run if action else _variable(environ, _EXECUTION)
    if not execution or (execution == "local" and outputs is None):
        return None
    project, domain = _variable(environ, _PROJECT), _variable(environ, _DOMAIN)
    check_names(**{_PROJECT[0]: project, _DOMAIN[0]: domain, _EXECUTION[0]: execution})
    task, version = _variable(environ, _TASK), _variable(environ, _VERSION)
    if action:
        return action.identity(project=project, domain=domain, previous=previous, task=task, version=version)
    if home is None:
        raise UnidentifiedError("Flyte gave no checkpoint path", hint="Upgrade flytepropeller.")
    unplaced = NodePrefix(
        root=_root_unproven(home), project=project, domain=domain, execution=execution, node="", uid_limits=()
    )
    if steps := _steps(outputs or "", f"{project}-{domain}-{execution}"):
        read = _by_output_prefix(steps, home, unplaced, environ)
    else:
        read = _by_uid(outputs, home, unplaced)
    return FlyteIdentity(
        **asdict(read.node),
        lineage=read.claim.lineage,
        is_index=read.claim.is_index,
        task=task,
        version=version,
        attempt=read.claim.attempt,
        home=home,
        previous=previous,
        why_not=read.why_not,
        recovered=None if read.why_not or not previous else _recovered(read, previous),
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one reading of the strings says that this pod is."""

    node: str
    attempt: int
    lineage: str
    is_index: bool = False


class _Read(NamedTuple):
    """What a layout gave: the node, the claim about it, and why it is not proven ("" if it is)."""

    node: NodePrefix
    claim: _Claim
    why_not: str = ""


def _by_output_prefix(
    steps: list[_Step], home: str, unplaced: NodePrefix, environ: Mapping[str, str]
) -> _Read:
    """Flyte 1, whose output prefix tells the path of the node.

    Raises:
        UnidentifiedError: one index of a legacy map task, and nothing tells which.
    """
    given, claims = Home.parse(home), list(_readings(steps))
    for claim in claims:
        if proven := _prove(claim, given, unplaced):
            return proven
    if _variable(environ, _ARRAY_INDEX) and not _NUMBER.fullmatch(steps[-1].node):
        # All indices of a legacy map task have one output prefix: they would share one LATEST.
        raise UnidentifiedError(
            "this is an index of a legacy map task, and its paths do not tell which",
            key=home,
            hint="Use map tasks that run as ArrayNode.",
        )
    claim = claims[0]
    node = replace(unplaced, node=claim.node)
    return _Read(node, claim, _why_not(node, claim, home, _variable(environ, _ATTEMPT)))


def _by_uid(outputs: str | None, home: str, unplaced: NodePrefix) -> _Read:
    """Flyte 1 without a readable output prefix: a uid that is not hashed tells the node.

    Raises:
        UnidentifiedError: the uid is hashed, or the layout is not Flyte's.
    """
    given, execution = Home.parse(home), unplaced.execution
    found = given and re.fullmatch(rf"{re.escape(execution)}-(.+)-({DIGITS})", given.uid)
    proven = found and _prove(_Claim(found[1], int(found[2]), lineage=""), given, unplaced)
    if not proven:
        raise UnidentifiedError(
            f"it is unknown which node of execution {execution} this is: the output prefix is "
            f"{outputs or 'not given'}, and the checkpoint path holds no readable uid",
            key=home,
            hint=f"After /{unplaced.project}-{unplaced.domain}-{execution}/ an output prefix has"
            " <node>/data/<attempt>.",
        )
    return proven


class _Step(NamedTuple):
    """One level of an output prefix: a node, by its plain id, and the attempt of it."""

    node: str
    attempt: str


def _steps(outputs: str, execution: str) -> list[_Step]:
    """The levels of `.../<execution>/<node>/data/<attempt>[/<child>/<attempt>...]`; else none."""
    # The greedy start finds the last such segment: the deployment decides what is before it.
    found = re.fullmatch(rf".*/{re.escape(execution)}/([^/]+)/data/({DIGITS})((?:/[^/]+/{DIGITS})*)", outputs)
    if found is None:
        return []
    node, attempt, below = found.groups()
    children = below.split("/")[1:]
    return [_Step(node, attempt), *map(_Step, children[::2], children[1::2])]


def _readings(steps: list[_Step]) -> Iterator[_Claim]:
    """What the levels may mean, likeliest first: a number is the index of a map task, or the id of a node."""
    top, *below = steps
    ids = [(f"n{step.node}", step.node) if _NUMBER.fullmatch(step.node) else (step.node,) for step in below]
    for children in product(*ids):
        lineage = top.node
        for parent, child in zip(steps, children, strict=False):
            lineage += f"/{parent.attempt}/{child}"
        is_index = bool(below) and children[-1] != below[-1].node
        yield _Claim(node_uid(lineage), int(steps[-1].attempt), lineage, is_index)


def _prove(claim: _Claim, home: Home | None, unplaced: NodePrefix) -> _Read | None:
    """The claim and its node, if the home computed from them is the one given."""
    if home is None:
        return None
    if home.array:
        index, retry = home.array
        lineage = claim.lineage and f"{claim.lineage}/{claim.attempt}/i{index}"
        claim = _Claim(array_node(claim.node, claim.attempt, index), retry, lineage, is_index=True)
    node = home.place(replace(unplaced, node=claim.node), claim.attempt)
    return _Read(node, claim) if node else None


def _why_not(node: NodePrefix, claim: _Claim, home: str, environ_attempt: str) -> str:
    expected = replace(node, root="<root>", uid_limits=UID_LIMITS).homes_of(claim.attempt)
    sentence = (
        f"attempt {claim.attempt} of node {claim.node} ({claim.lineage}) of execution {node.execution} "
        f"would be at {' or '.join(expected)}, but the checkpoint path given is {home}"
    )
    if environ_attempt not in ("", str(claim.attempt)):
        sentence += f", and {_ATTEMPT[0]} is {environ_attempt}"
    return sentence


def _recovered(read: _Read, previous: str) -> Recovered | None:
    """The other execution that `previous` is proven to belong to. Recover mode keeps project and domain."""
    home, node = Home.parse(previous), read.node
    if home is None or previous in node.homes_of(read.claim.attempt - 1):
        return None
    if home.is_hashed:  # the shard fits the uid: all the proof that a hash can give
        return Recovered(home=previous)
    found = re.fullmatch(rf"(.+)-{re.escape(node.node)}-({DIGITS})", home.uid)
    if found is None or found[1] == node.execution:
        return None
    placed = home.place(replace(node, execution=found[1]), int(found[2]))
    return Recovered(home=previous, attempt=int(found[2]), node=placed) if placed else None


def _root_unproven(home: str) -> str:
    """The bucket; on a disk, which has none, the folder that holds the home."""
    return bucket_of(home) or home.rpartition("/")[0]


def _variable(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
