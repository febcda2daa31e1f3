import pytest

from curate.errors import first_line, named


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError(), "ValueError"),
        (ValueError("  \n"), "ValueError"),
        (OSError("first\nsecond"), "first"),
        (KeyError("mp-149"), "mp-149"),
        (RuntimeError("x" * 300), "x" * 200),
        ("the server's words\nand more", "the server's words"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    assert first_line(error) == line


def test_a_few_ids_stand_for_many():
    assert named({"b", "a"}) == "a, b"
    assert named(set("abcdefg")) == "a, b, c, d, e and 2 more"
