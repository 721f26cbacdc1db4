"""What hypothesis does to the objects of a bucket: each change begins from a valid one.

A document is changed inside (values of the wrong type or size, missing and doubled keys, paths that escape,
sizes that lie, references in a circle), and then sealed again or not. Bytes are cut, flipped, repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
from hypothesis import strategies as st

from ckptptr.protocol.sealed import seal
from tests.fuzz.case import Case
from tests.fuzz.start import Start, starts

_NUMBERS = st.sampled_from(
    [0, 1, 2, 3, 9, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**17, 10**18 - 1, 10**18, 10**30]
)
_MORE_NUMBERS = st.sampled_from([-(2**63), -(10**30), int("9" * 4300), 0.5, -0.0, 1e308, 1e-320])
_NO_JSON = st.sampled_from([float("nan"), float("inf"), float("-inf")])
_LARGE = 5000
_PLACES = 500
MARK = "<script>fuzz</script>"
TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "none",
            "NONE",
            ".",
            "..",
            "/",
            "//",
            "a//b",
            "./a",
            "a/..",
            "../../x",
            "/etc/passwd",
            "a/",
        ),
        *(
            "C:\\x",
            "..\\..\\x",
            "CON",
            "nul.txt",
            "a:b",
            "\0",
            "a\0b",
            "\n",
            "\r\nERROR forged",
            "\x1b[2J",
            "\u202e",
        ),
        *(
            "\ud800",
            "\udcff.bin",
            "caf\u00e9",
            "cafe\u0301",
            "\u2028",
            "\U0001f600",
            "\ufeff",
            "%2e%2e",
            "%5C",
            "'\"`",
        ),
        *(
            "s3://other/x",
            "memory://bucket",
            "file:///etc",
            "://",
            "gs://",
            ".ckptptr-x",
            "LATEST",
            "a" * 300,
        ),
        *(
            "x/" * 300 + "y",
            "9" * 5000,
            "9999-12-31T23:59:59Z",
            "0000-00-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ),
        *(
            "ckptptr/1",
            "ckptptr/1.7",
            "ckptptr/2",
            "ckptptr/" + "9" * 30,
            "data/",
            "manifests/x.json",
            "data/x/y",
        ),
        *(MARK, '"><img src=x onerror=fuzz>', "&lt;", "]]>", "{{x}}", "$(x)", "[red]x[/red]", "[/]", "\\"),
    ]
)
ODD_TEXTS = st.text(st.characters(), max_size=12)
_PLAIN = st.none() | st.booleans() | _NUMBERS | _MORE_NUMBERS | TEXTS | ODD_TEXTS | _NO_JSON
VALUES = _PLAIN | st.recursive(
    _PLAIN, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=5
)
_KEYS = st.sampled_from(
    [
        *(
            "checkpoint",
            "step",
            "attempt",
            "seq",
            "bytes",
            "pinned",
            "score",
            "published_at",
            "fence",
            "held",
        ),
        *(
            "incarnation",
            "predecessors",
            "note",
            "published_by",
            "moved_at",
            "moved_by",
            "moved_with",
            "doomed",
        ),
        *(
            "history",
            "target",
            "format",
            "id",
            "parent",
            "copied_from",
            "lineage",
            "metadata",
            "files",
            "rank",
        ),
        *(
            "folders",
            "total_bytes",
            "created_at",
            "world_size",
            "unknown",
            "edited",
            "expired",
            "blocks",
            "mode",
        ),
    ]
)


def _places(value: object, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Everywhere in a document."""
    if here:
        yield here
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from _places(each, (*here, key))


@st.composite
def _changed(draw: st.DrawFn, document: Any, names: list[str]) -> Any:
    """The document with a few changes inside."""
    is_large = False
    for _ in range(draw(st.integers(1, 3))):
        places = [*islice(_places(document), _PLACES)]
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        parent = document
        for key in above:
            parent = parent[key]
        what = draw(
            st.sampled_from(["value", "value", "value", "name", "del", "key", "many", "twice", "deep"])
        )
        if what == "value":
            parent[last] = draw(VALUES)
        elif what == "name":
            parent[last] = draw(st.sampled_from(names))
        elif what == "del":
            del parent[last]
        elif what == "key" and isinstance(parent, dict):
            parent[draw(_KEYS | TEXTS)] = draw(VALUES)
        elif what == "many":
            parent[last] = [parent[last]] * draw(st.sampled_from([2] if is_large else [2, 100, 3000]))
            is_large = True
        elif what == "twice" and isinstance(parent, list):
            parent.append(parent[last])
        elif what == "deep":
            for _ in range(draw(st.sampled_from([1] if is_large else [30, 500]))):
                parent[last] = [parent[last]]
            is_large = True
    return document


@st.composite
def _json(draw: st.DrawFn, body: bytes, names: list[str]) -> bytes:
    document = draw(_changed(json.loads(body), names))
    if isinstance(document, dict) and draw(st.booleans()):
        try:
            return msgspec.json.encode(seal(document))
        except (ValueError, TypeError, RecursionError, msgspec.MsgspecError):
            pass  # no version would write this: it stays unsealed
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    if draw(st.integers(0, 9)) == 0:
        text = text.replace("{", '{"checkpoint": "none", "seq": 7, ', 1)
    if draw(st.integers(0, 9)) == 0:
        deep = draw(st.sampled_from([900, 50_000]))
        text = text.replace("{", f'{{"deep": {"[" * deep}{"]" * deep}, ', 1)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _bytes(draw: st.DrawFn, body: bytes) -> bytes:
    what = draw(st.sampled_from(["flip", "flip", "cut", "cut", "insert", "replace", "other"]))
    at, some = draw(st.integers(0, len(body))), draw(st.binary(min_size=1, max_size=8))
    if what == "flip" and body:
        at %= len(body)
        return body[:at] + bytes([body[at] ^ 1 << draw(st.integers(0, 7))]) + body[at + 1 :]
    if what == "cut":
        return body[:at]
    if what == "insert":
        return body[:at] + some + body[at:]
    if what == "replace":
        return body[:at] + some + body[at + len(some) :]
    utf_16 = body.decode("latin-1").encode("utf-16")
    whole = st.sampled_from([body + body, b"\xef\xbb\xbf" + body, utf_16, b"\xff\xfe" + body])
    texts = (TEXTS | ODD_TEXTS).map(lambda text: text.encode("utf-8", "surrogatepass"))
    return draw(whole | texts | st.binary(max_size=40))


_ODD_KEYS = st.sampled_from(
    [
        *(
            "manifests/0000000007-a0001-gggggggg.json",
            "manifests/0000000007-a0001-gggggggg.pin",
            "manifests/x.json",
        ),
        *("manifests/9999999999999999-a0001-gggggggg.json", "manifests/0000000007-a9999-gggggggg.json"),
        *(
            "manifests/0000000004-a0001-dddddddd.pin",
            "manifests/deep/0000000007-a0001-gggggggg.json",
            "manifests",
        ),
        *(
            "data/0000000007-a0001-gggggggg/\x1b[2Jx",
            "data/0000000007-a0001-gggggggg/a//b",
            "data/x",
            "data/.sets/x",
        ),
        *(
            "data/.sets/r/n.json",
            "data/.sets/r/n/0-of-1.json",
            "data/.sets/r/n/99999999999-of-2.json",
            "data/.sets//x",
        ),
        *(
            "data/0000000007-a0001-gggggggg/../x",
            "model",
            "..",
            MARK,
            "a\nb",
            "0000000007-a0001-gggggggg",
            "LATEST",
        ),
    ]
)
_ODD_NODE_KEYS = st.sampled_from(
    [
        *("attempts/99999999999999999/model", "attempts/00/model", "attempts/x/model", "attempts/-1/model"),
        *(
            "claims/99999999999999999",
            "claims/999999999999999999",
            "claims/x",
            "claims/1",
            "LATEST.damaged-x",
        ),
        *("LATEST/x", "LATEST.damaged-" + "0" * 32, MARK, "attempts", "attempts/2"),
    ]
)


@st.composite
def _change(draw: st.DrawFn, begin: Start, put: dict[str, bytes], drop: set[str]) -> None:
    """One more damaged, missing, exchanged or added object."""
    ours = [key for key in begin.objects if not key.startswith(f"{begin.other}/")]
    latest = f"{begin.prefix}/LATEST"
    documents = [key for key in ours if begin.objects[key][:1] == b"{"]
    key = draw(st.sampled_from([latest] * 8 + documents * 2 + ours))
    names = [*begin.references, *ours, *(f"memory://{each}" for each in ours[:3]), *map(begin.home, range(3))]
    body = put.get(key, begin.objects[key])
    what = draw(st.sampled_from(["json"] * 6 + ["bytes"] * 4 + ["drop", "exchange", "add", "grow"]))
    if what == "json" and body[:1] == b"{" and len(body) < _LARGE:  # a change of a change may be large
        try:
            put[key] = draw(_json(body, names))
        except (ValueError, RecursionError):  # it was damaged before
            put[key] = draw(_bytes(body))
    elif what == "drop":
        drop.add(key)
    elif what == "exchange":
        put[key] = begin.objects[draw(st.sampled_from(documents))]
    elif what == "add":
        home = begin.home(draw(st.integers(0, 2)))
        odd = draw(
            _ODD_KEYS.map(lambda tail: f"{home}/{tail}") | _ODD_NODE_KEYS.map(lambda t: f"{begin.prefix}/{t}")
        )
        put[odd] = draw(st.sampled_from([b"", *(begin.objects[each] for each in documents)]))
    elif what == "grow":
        put[key] = body + b" " * 70_000
    else:
        put[key] = draw(_bytes(body))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A damaged bucket, and what is done there."""
    begin = draw(st.sampled_from(starts()))
    put: dict[str, bytes] = {}
    drop: set[str] = set()
    for _ in range(draw(st.integers(0, 3))):
        draw(_change(begin, put, drop))
    kept = tuple(sorted(drop - put.keys()))
    return Case(begin.prefix, put, kept, draw(_operations(begin)))


def _operations(begin: Start) -> st.SearchStrategy[tuple[str, ...]]:
    names = [*begin.references, *(name.rpartition("/")[2].removesuffix(".json") for name in begin.references)]
    one = st.sampled_from(
        [*names, begin.home(2), begin.home(1), "#1", "#2", "#99999999999999999999", "none"]
    ) | (TEXTS | ODD_TEXTS).filter(lambda text: "\0" not in text)
    as_json = st.sampled_from([(), ("--json",)])
    plain = st.sampled_from(
        [
            *(
                ("restore", "3"),
                ("restore", "1"),
                ("restore", "0"),
                ("save", "3"),
                ("save", "1"),
                ("save", "0"),
            ),
            *(
                ("save file", "3"),
                ("parts", "1"),
                ("parts", "0"),
                ("rank", "1"),
                ("look", "3"),
                ("history", "3"),
            ),
            ("open", "claim"),
        ]
    )
    commands = st.sampled_from(
        [
            *(
                ("show",),
                ("log",),
                ("doctor",),
                ("verify", "--all", "--deep"),
                ("verify",),
                ("du",),
                ("find",),
            ),
            *(
                ("sweep", "--dry-run"),
                ("sweep", "--yes"),
                ("clean", "--older-than", "1d", "--dry-run"),
                ("report",),
            ),
            *(
                ("clean", "--older-than", "1d", "--yes"),
                ("rollback", "--yes"),
                ("release",),
                ("put",),
                ("get",),
            ),
            ("clean", "--older-than", "1d", "--yes", "--keep-latest"),
        ]
    )
    choosing = st.tuples(
        st.sampled_from(["use", "pin", "unpin", "drop", "get", "verify", "release", "export"]), one
    )
    with_yes = choosing.map(lambda pair: (*pair, "--yes") if pair[0] in ("use", "drop", "get") else pair)
    note = TEXTS.filter(lambda text: "\0" not in text).map(lambda text: f"--note={text}")
    noted = st.tuples(st.sampled_from(["use", "pin"]), st.sampled_from(names), note, st.just("--yes"))
    noted = noted.map(lambda words: words if words[0] == "use" else words[:-1])
    with_yes |= noted
    return plain | st.tuples(commands | with_yes, as_json).map(lambda pair: (*pair[0], *pair[1]))
