"""The lexer: tokens, where they stand, bound parameters, and texts made to be slow."""

from __future__ import annotations

import pytest

from rusts.influxql.lexer import ParseError, Tokens


def cut(text: str, **parameters: object) -> list[tuple[str, str]]:
    tokens = Tokens(text, parameters)
    assert tokens.kinds[-1] == "EOF"
    return list(zip(tokens.kinds, tokens.values, strict=True))[:-1]


def test_words_and_names() -> None:
    assert cut('select Select_ "select" _a1 "a\\"b\\\\c\\nd" ""') == [
        ("SELECT", "SELECT"),
        ("IDENT", "Select_"),
        ("IDENT", "select"),
        ("IDENT", "_a1"),
        ("IDENT", 'a"b\\c\nd'),
        ("IDENT", ""),
    ]


def test_literals() -> None:
    assert cut("'it\\'s' 5 5. .5 1.50 1h30m 5µ 1mo 1_") == [
        ("STRING", "it's"),
        ("INTEGER", "5"),
        ("NUMBER", "5"),
        ("NUMBER", ".5"),
        ("NUMBER", "1.50"),
        ("LENGTH", "1h30m"),
        ("LENGTH", "5µ"),
        ("LENGTH", "1mo"),
        ("INTEGER", "1"),
        ("IDENT", "_"),
    ]


def test_operators() -> None:
    text = "+ - * / % & | ^ = != <> < <= > >= =~ !~ ( ) , ; . : ::"
    assert [kind for kind, _ in cut(text)] == text.replace("<>", "!=").split()


def test_a_slash_divides_or_begins_a_pattern() -> None:
    assert cut("(a)/b/2 =~ /x\\/y\\d\\\\z/, /(/ FROM /m/ ./n/") == [
        ("(", "("),
        ("IDENT", "a"),
        (")", ")"),
        ("/", "/"),
        ("IDENT", "b"),
        ("/", "/"),
        ("INTEGER", "2"),
        ("=~", "=~"),
        ("REGEX", "x/y\\d\\\\z"),
        (",", ","),
        ("REGEX", "("),
        ("FROM", "FROM"),
        ("REGEX", "m"),
        (".", "."),
        ("REGEX", "n"),
    ]


def test_comments_are_no_tokens() -> None:
    assert cut("a -- b 'c\n d /* e\n-- */ f - - g /* /* */ h --") == [
        ("IDENT", "a"),
        ("IDENT", "d"),
        ("IDENT", "f"),
        ("-", "-"),
        ("-", "-"),
        ("IDENT", "g"),
        ("IDENT", "h"),
    ]


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("'abc", ("BADSTRING", "abc")),
        ('"a\nb"', ("BADSTRING", "a")),
        ("'a\\tb'", ("ILLEGAL", "\\t")),
        ("/* a", ("ILLEGAL", "ILLEGAL")),
        ("é", ("ILLEGAL", "é")),
        ("!", ("ILLEGAL", "!")),
        ("=~ /a\n/", ("BADREGEX", "")),
    ],
)
def test_nothing_is_read_behind_what_is_no_token(text: str, token: tuple[str, str]) -> None:
    assert cut(text + "\n$a b c")[-1] == token


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (5, ("INTEGER", "5")),
        (-5, ("INTEGER", "-5")),
        (2.5, ("NUMBER", "2.5")),
        ("x y", ("STRING", "x y")),
        (True, ("TRUE", "TRUE")),
        ({"identifier": "x y"}, ("IDENT", "x y")),
        ({"ident": "x"}, ("IDENT", "x")),
        ({"regex": "x/y"}, ("REGEX", "x/y")),
        ({"string": "x"}, ("STRING", "x")),
        ({"float": 5}, ("NUMBER", "5")),
        ({"number": 5.5}, ("NUMBER", "5.5")),
        ({"int": 5}, ("INTEGER", "5")),
        ({"integer": 5}, ("INTEGER", "5")),
        ({"duration": "1h"}, ("LENGTH", "1h")),
        ({"duration": 5}, ("LENGTH", "5ns")),
        (None, ("PARAM", "$a")),
        ([1], ("PARAM", "$a")),
    ],
)
def test_a_bound_parameter_is_the_token_of_its_value(value: object, token: tuple[str, str]) -> None:
    assert cut("$a", a=value) == [token]
    assert cut('b $"a"', a=value) == [("IDENT", "b"), token]


def test_why_a_parameter_is_not_bound() -> None:
    assert str(Tokens("$a", {"a": None}).unbound(0)) == "missing parameter: unable to bind parameter with type <nil>"
    assert str(Tokens("$a", {}).unbound(0)) == "missing parameter: a"
    assert str(Tokens("$ a", {"a": 1}).unbound(0)) == "empty bound parameter"


def test_walking() -> None:
    tokens = Tokens("a.b c", {})
    assert tokens.need("IDENT") == "a"
    assert not tokens.take("IDENT")
    assert tokens.adjacent()
    assert tokens.take(".")
    assert tokens.need("IDENT") == "b"
    assert not tokens.adjacent()
    with pytest.raises(ParseError, match="found c, expected FROM at line 1, char 5"):
        tokens.need("FROM")


def test_lines_end_as_anywhere() -> None:
    tokens = Tokens("a\nb\r\nc\rd\r\n\r\n e", {})
    places = [tokens.place(at) for at in range(len(tokens.kinds) - 1)]
    assert places == [f" at line {line}, char {char}" for line, char in ((1, 1), (2, 1), (3, 1), (4, 1), (6, 2))]


@pytest.mark.parametrize("part", ["'", '"', "/*", "/* */", "(/", "$", "\\", "'\\'", "--", "9", "1h", ".", "é", " /a/,"])
def test_a_lot_of_anything_is_cut(part: str) -> None:
    # Nothing is asserted but that it ends: what is not linear would not, within anybody's patience.
    for text in (part * (1 << 18), "SELECT a FROM " + part * (1 << 18)):
        assert Tokens(text[: 1 << 18], {}).kinds[-1] == "EOF"
