from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.settings.toml_lines import DEEPEST, key_lines

DOCUMENT = '''\
a = 1 # not = 2
"q.x".b = "]["
c = { d = 1, e = [1,
 2, {f=3}], g = 2026-01-01 10:00:00 }
  [ t . "u v" ]  # [no]
s = """
no = 1
\\""" more "quoted"""""
z = [ # c ]
  "a]",  # "no"

  'b',
]
l = \'\'\'
[no]\'\'\'
n = -1.5e3
[[arr]]
k = 1
[[arr]]
k = 2
[arr.sub]
k = 3
[t]
"\\u0041" = 1'''


def test_every_key_table_and_element_has_its_line() -> None:
    tomllib.loads(DOCUMENT)
    found = key_lines(DOCUMENT)
    assert found.lines == {
        ("a",): 1,
        ("q.x",): 2,
        ("q.x", "b"): 2,
        ("c",): 3,
        ("c", "d"): 3,
        ("c", "e"): 3,
        ("c", "e", 0): 3,
        ("c", "e", 1): 4,
        ("c", "e", 2): 4,
        ("c", "e", 2, "f"): 4,
        ("c", "g"): 4,
        ("t",): 23,
        ("t", "u v"): 5,
        ("t", "u v", "s"): 6,
        ("t", "u v", "z"): 9,
        ("t", "u v", "z", 0): 10,
        ("t", "u v", "z", 1): 12,
        ("t", "u v", "l"): 14,
        ("t", "u v", "n"): 16,
        ("arr",): 17,
        ("arr", 0): 17,
        ("arr", 0, "k"): 18,
        ("arr", 1): 19,
        ("arr", 1, "k"): 20,
        ("arr", 1, "sub"): 21,
        ("arr", 1, "sub", "k"): 22,
        ("t", "A"): 24,
    }
    assert found.repeated == []
    assert found.too_deep is None


def test_what_has_no_line_has_that_of_what_it_is_in() -> None:
    found = key_lines("a = 1\n[t]\nb = [1]\n")
    assert found.line(("t", "b", 7)) == 3
    assert found.line(("t", "none")) == 2
    assert found.line(("none",)) == 1


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("a = 1\nb = 2\na = 3", [(("a",), 1, 3)]),
        ("[t]\n[u]\n[t]", [(("t",), 1, 3)]),
        ("[t]\na.b = 1\n\n'a'.\"b\" = 2", [(("t", "a", "b"), 2, 4)]),
        ("a = 1\n[a]", [(("a",), 1, 2)]),
        ("[[t]]\na = 1\n[[t]]\na = 1", []),
    ],
)
def test_what_is_written_twice_is_found(text: str, repeated: list[object]) -> None:
    assert key_lines(text).repeated == repeated


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\nb =",
        "a = 1\nb = 'x",
        "a = 1\n[b",
        "a = 1\n= 3",
        'a = 1\nb = """',
        "a = 1\nb = [1,",
        "a = 1\nb = {c",
    ],
)
def test_a_document_that_ends_in_the_middle_is_read_up_to_there(text: str) -> None:
    assert key_lines(text).lines[("a",)] == 1


@pytest.mark.parametrize("deep", [".".join("a" * 100_000) + " = 1", "a = " + "[" * 100_000])
def test_nothing_is_read_deeper_than_its_bound(deep: str) -> None:
    assert key_lines(f"x = 1\n{deep}").too_deep == 2


def test_a_document_as_deep_as_the_bound_is_read() -> None:
    assert key_lines(".".join("a" * DEEPEST) + " = 1").too_deep is None
    assert key_lines("a = " + "[" * DEEPEST + "]" * DEEPEST).too_deep is None


names = st.text("ab.é \"'\\#=[]", min_size=1, max_size=4)
scalars = st.sampled_from(
    ["1", "-2.5", "true", '"x#=]"', "'[a]'", "2026-01-02", '"""\n[x]\ny = 1"""', "'''\n'''"]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "[\n# ]\n" + ",\n".join(parts) + "\n]"),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.lists(names, min_size=1, max_size=3), values, st.integers(0, 2)), max_size=8))
def test_each_key_of_any_document_has_the_line_it_is_written_in(
    written: list[tuple[list[str], str, int]],
) -> None:
    text, expected = "", {}
    for number, (parts, value, blank_lines) in enumerate(written):
        whole = [f"{number}", *parts]  # no name twice
        text += "\n" * blank_lines
        expected[tuple(whole)] = text.count("\n") + 1
        text += " . ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in whole)
        text += f' = {value}  # "\n'
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: found.line(path) for path in expected} == expected
    assert found.repeated == []
