from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError
from ckptptr.testing import deaths
from ckptptr.testing.deaths import (
    FORMS,
    Death,
    after_save,
    at_byte,
    before_first_save,
    before_python,
    before_save,
    in_save,
    lost_network,
    parse,
    sigterm,
)
from ckptptr.testing.faults import Fault
from tests.formats.strategies import modest

numbers = st.integers(1, 10**9)
moments = st.one_of(
    st.builds(before_save, numbers),
    st.builds(in_save, numbers),
    st.builds(after_save, numbers),
    st.builds(lambda byte, save: at_byte(byte, of_save=save), st.integers(0, 10**15), numbers),
)
seconds = st.decimals(0, 10**6, places=3).map(float)
all_deaths = st.one_of(
    st.just(before_python()),
    moments,
    st.builds(lambda at, grace: sigterm(at, grace=grace), moments | seconds, seconds),
    st.builds(lambda at, requests: lost_network(at, requests=requests), moments, st.none() | numbers),
)


@given(all_deaths)
@modest
def test_a_death_is_read_back_from_its_own_words(death: Death) -> None:
    assert parse(str(death)) == death


@given(all_deaths)
@modest
def test_capitals_and_blanks_do_not_matter(death: Death) -> None:
    words = str(death).replace(" ", "   ").upper()
    assert parse(f"  {words} ") == death


@pytest.mark.parametrize(
    ("text", "death"),
    [
        ("none", None),
        ("before python", before_python()),
        ("before the first save", before_first_save()),
        ("before save 1", before_first_save()),
        ("before save 12", before_save(12)),
        ("in save 4", in_save(4)),
        ("in the middle of save 4", in_save(4)),
        ("in the first save", in_save(1)),
        ("after save 3", after_save(3)),
        ("byte 1000 of save 2", at_byte(1000, of_save=2)),
        ("at byte 0 of save 2", at_byte(0, of_save=2)),
        ("sigterm after save 3", sigterm(after_save(3))),
        ("sigterm after save 3, grace 5 s", sigterm(after_save(3), grace=5)),
        ("sigterm in save 3, grace 0.5s", sigterm(in_save(3), grace=0.5)),
        ("sigterm after 2.5 s", sigterm(2.5)),
        ("sigterm after 2s, grace 1s", sigterm(2, grace=1)),
        ("lost network before save 2", lost_network(before_save(2))),
        ("lost network at byte 7 of save 2, 20 requests", lost_network(at_byte(7, of_save=2), requests=20)),
        ("lost network after save 2, 1 request", lost_network(after_save(2), requests=1)),
    ],
)
def test_words_and_what_they_mean(text: str, death: Death | None) -> None:
    assert parse(text) == death


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kill",
        "after save",
        "after save x",
        "after save -1",
        "after save 3, grace 5 s",
        "byte of save 2",
        "sigterm",
        "sigterm before python",
        "sigterm after save 3, grace",
        "lost network",
        "lost network after 3 s",
        "lost network after save 3, requests",
        "after save 3 and more",
    ],
)
def test_other_words_are_refused_with_a_list_of_all_forms(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        parse(text)
    assert FORMS in str(refused.value)


@pytest.mark.parametrize("text", ["after save 0", "byte 1 of save 0", "sigterm in save 0"])
def test_saves_count_from_1(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="saves count from 1"):
        parse(text)


def test_a_byte_is_not_negative() -> None:
    with pytest.raises(InvalidArgumentError, match="bytes count from 0"):
        at_byte(-1, of_save=1)


@pytest.mark.parametrize("at", [before_python(), sigterm(2.0), lost_network(after_save(1))])
def test_sigterm_and_a_lost_network_need_a_moment_in_a_save(at: Death) -> None:
    for make in (sigterm, lost_network):
        with pytest.raises(InvalidArgumentError, match="no moment in a save"):
            make(at)


def test_every_form_of_the_list_is_read() -> None:
    entries = re.findall(r"^(\S.*?)(?:  |$)", FORMS, re.MULTILINE)
    forms = [form for entry in entries for form in entry.split(", ")]
    assert len(forms) > 7
    for form in forms:
        words = form.replace("WHERE", "in save 2")
        assert parse(re.sub(r"\b[KBS]\b", "3", words)) is not before_python() or form == "before python"


def test_what_comes_from_outside_is_no_fault_of_a_request() -> None:
    assert before_python().fault is None
    assert sigterm(3).fault is None
    assert after_save(2).fault == Fault("kill", "after", save=2, key="/LATEST$", times=None)


def test_the_default_grace_is_that_of_kubernetes() -> None:
    assert sigterm(after_save(1)).grace == deaths.GRACE == 30
