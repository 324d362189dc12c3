"""InfluxQL text into tokens.

The whole text is cut at once: one regular expression goes over it from left to right and nothing is read twice, so the
time is linear. A ``/`` begins a regular expression literal where no division can stand: behind an opening
bracket, a comma, ``=``, ``=~``, ``!~``, a dot, FROM, BY and SELECT.
Positions in error texts count lines and characters as InfluxDB 1.6.7 does, its slips included: a string is said to
stand where the character before it does, and the end of the text one place later when it was looked at twice.
Beyond it, a comment may stand before any token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from rusts.errors import InvalidRequest
from rusts.influxql.literals import KEYWORDS, Unbound, bind, check_pattern

__all__ = ["ParseError", "Tokens"]


class ParseError(InvalidRequest):
    """A text is no InfluxQL. The message is InfluxDB 1.6.7's without its prefix ``error parsing query: ``."""


_TOKEN: Final = re.compile(
    r"""
    [ \t\r\n]*
    (?:
        ([A-Za-z_][A-Za-z0-9_]*)                                  # 1 word
      | ([0-9]+\.[0-9]*|\.[0-9]+)                                 # 2 number
      | (--[^\r\n]*|/\*(?s:.*?)\*/)                               # 3 comment
      | ([(),;+*%&|^.]|=~?|![=~]|<[>=]?|>=?|::?|-|/(?!\*))        # 4 operator
      | '([^'\\\r\n]*(?:\\[n\\"'][^'\\\r\n]*)*)'                  # 5 string
      | "([^"\\\r\n]*(?:\\[n\\"'][^"\\\r\n]*)*)"                  # 6 quoted name
      | ([0-9]+[A-Za-zµ][0-9A-Za-zµ]*)                            # 7 duration
      | ([0-9]+)                                                  # 8 integer
      | \$(?:([A-Za-z0-9_]+)|"([^"\\\r\n]*(?:\\[n\\"'][^"\\\r\n]*)*)")   # 9, 10 parameter
      | (/\*|.)                                                   # 11 anything else
    )
    """,
    re.VERBOSE,
)
_WORD: Final = 1
_NUMBER: Final = 2
_COMMENT: Final = 3
_OPERATOR: Final = 4
_STRING: Final = 5
_QUOTED: Final = 6
_DURATION: Final = 7
_INTEGER: Final = 8
_PARAMETER: Final = 9
_QUOTED_PARAMETER: Final = 10

_REGEX: Final = re.compile(r"/([^/\\\r\n]*(?:\\/?+[^/\\\r\n]*)*)/")
_REGEX_AFTER: Final = frozenset(("(", ",", "=", "=~", "!~", ".", "FROM", "BY", "SELECT"))
_BODIES: Final = {quote: re.compile(rf"""[^{quote}\\\r\n]*(?:\\[n\\"'][^{quote}\\\r\n]*)*""") for quote in "'\""}
_ESCAPE: Final = re.compile(r"\\(.)")
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_NEWLINE: Final = re.compile(r"\r\n?|\n")
_NAMES: Final = {
    "IDENT": "identifier",
    "STRING": "string",
    "INTEGER": "integer",
    "LENGTH": "duration",
    "REGEX": "regex",
}


class Tokens:
    """The tokens of a text, and where the parser stands in them.

    `kinds`: a keyword or an operator is its own kind; else IDENT, STRING, INTEGER, NUMBER, LENGTH (a duration), REGEX,
    PARAM (a bound parameter without a value), BADSTRING, BADREGEX, ILLEGAL (nothing follows these), and EOF at the end.
    `values`: a name without quotes, a string's content, the digits of a number. `starts`, `ends`: offsets in the text.
    """

    __slots__ = ("_parameters", "_text", "_troubles", "at", "ends", "kinds", "starts", "values")

    def __init__(self, text: str, parameters: Mapping[str, object]) -> None:
        self.at = 0
        self.kinds: list[str] = []
        self.values: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self._text = text
        self._parameters = parameters
        self._troubles: dict[int, str] = {}
        position: int | None = 0
        while position is not None:
            position = self._cut(text, position)
        self._add("EOF", "EOF", len(text), len(text))

    # -- walking

    def take(self, kind: str) -> bool:
        """Step over a token of this kind, if the next one is."""
        if self.kinds[self.at] == kind:
            self.at += 1
            return True
        return False

    def need(self, kind: str) -> str:
        """Step over a token that must be of this kind; its value. Raises ParseError."""
        at = self.at
        if self.kinds[at] != kind:
            raise self.found(_NAMES.get(kind, kind))
        self.at = at + 1
        return self.values[at]

    def adjacent(self) -> bool:
        """True if nothing stands between the next token and the one before it."""
        return self.starts[self.at] == self.ends[self.at - 1]

    def regex(self) -> str | None:
        """Step over a regular expression, if one is next; the expression. Raises ParseError if it is wrong."""
        at = self.at
        kind = self.kinds[at]
        if kind == "REGEX":
            trouble = check_pattern(self.values[at])
            if trouble is not None:
                raise ParseError(trouble + self.place(at))
            self.at = at + 1
            return self.values[at]
        if kind == "BADREGEX":
            raise ParseError(f"bad regex: {self.place(at)}")
        return None

    # -- what is wrong

    def found(self, expected: str, looked: bool = False) -> ParseError:
        """The error for the next token, where `expected` should be.

        `looked`: a regular expression could have stood there.
        """
        at = self.at
        kind = self.kinds[at]
        if kind == "EOF":
            return ParseError(f"found EOF, expected {expected}{self._end(looked)}")
        if kind in ("REGEX", "BADREGEX") and self._text[self.starts[at]] == "/":
            return ParseError(f"found /, expected {expected}{self.begin(at)}")
        return ParseError(f"found {self.values[at] or kind}, expected {expected}{self.place(at)}")

    def found_space(self, expected: str) -> ParseError:
        """The error for the space before the next token, where `expected` should be."""
        end = self.ends[self.at - 1]
        space = _SPACE.match(self._text, end)
        if space is None:
            return self.found(expected)
        return ParseError(f"found {space[0]}, expected {expected}{_place(self._text, end)}")

    def unbound(self, at: int) -> ParseError:
        """The error for token `at`, a bound parameter without a usable value."""
        if self.values[at] == "$":
            return ParseError("empty bound parameter")
        return ParseError(f"missing parameter: {self._troubles.get(at, self.values[at][1:])}")

    def place(self, at: int) -> str:
        """`` at line L, char C`` of token `at`."""
        start = self.starts[at]
        if self._text[start : start + 1] in _DELIMITERS.get(self.kinds[at], ()):
            start = max(0, start - 1)
            if self._text[start - 1 : start + 1] == "\r\n":
                start -= 1
        return _place(self._text, start)

    def begin(self, at: int) -> str:
        """`` at line L, char C`` of the first character of token `at`."""
        return _place(self._text, self.starts[at])

    def _end(self, looked: bool) -> str:
        """The place of the end of the text: one later if its last characters were read to see where they end."""
        text, last = self._text, len(self.kinds) - 2
        if not looked and last >= 0:
            tail = text[self.ends[last] :]
            bare = self.kinds[last] in KEYWORDS or (self.kinds[last] == "IDENT" and text[self.starts[last]] != '"')
            looked = (bare and not tail) or "--" in tail.rpartition("\n")[2]
        return _place(text, len(text), 2 if looked else 1)

    # -- cutting

    def _add(self, kind: str, value: str, start: int, end: int) -> None:
        self.kinds.append(kind)
        self.values.append(value)
        self.starts.append(start)
        self.ends.append(end)

    def _cut(self, text: str, position: int) -> int | None:
        """Cut up to and with the next regular expression; where to go on, None at the end or at what cannot be cut."""
        kinds, values, starts, ends = self.kinds, self.values, self.starts, self.ends
        for match in _TOKEN.finditer(text, position):
            group = match.lastindex
            value = match[group]  # type: ignore[index]
            end = match.end()
            start = end - len(value)
            if group == _WORD:
                kind = KEYWORDS.get(value.upper(), "IDENT")
                if kind != "IDENT":
                    value = kind
            elif group == _OPERATOR:
                if value == "/" and kinds and kinds[-1] in _REGEX_AFTER:
                    return self._regex(start)
                kind = value = "!=" if value == "<>" else value
            elif group in (_QUOTED, _STRING):
                kind = "IDENT" if group == _QUOTED else "STRING"
                start -= 2
                if "\\" in value:
                    value = _unescape(value)
            elif group == _INTEGER:
                kind = "INTEGER"
            elif group == _DURATION:
                kind = "LENGTH"
            elif group == _NUMBER:
                kind, value = "NUMBER", value.rstrip(".")
            elif group == _COMMENT:
                continue
            elif group in (_PARAMETER, _QUOTED_PARAMETER):
                self._parameter(_unescape(value), match.start(group) - group + _PARAMETER - 1, end)
                continue
            else:
                self._illegal(value, start)
                return None
            kinds.append(kind)
            values.append(value)
            starts.append(start)
            ends.append(end)
        return None

    def _regex(self, start: int) -> int | None:
        match = _REGEX.match(self._text, start)
        if match is None:
            self._add("BADREGEX", "", start, start)
            return None
        self._add("REGEX", match[1].replace("\\/", "/"), start, match.end())
        return match.end()

    def _parameter(self, name: str, start: int, end: int) -> None:
        """A bound parameter is the token that its value makes."""
        kind, value = "PARAM", "$" + name
        if name in self._parameters:
            try:
                kind, value = bind(self._parameters[name])
            except Unbound as problem:
                self._troubles[len(self.kinds)] = str(problem)
        self._add(kind, value, start, end)

    def _illegal(self, value: str, start: int) -> None:
        """What is no token: nothing behind it is looked at."""
        if value == "$":
            self._add("PARAM", "$", start, start + 1)
        elif value not in _BODIES:
            self._add("ILLEGAL", "ILLEGAL" if value == "/*" else value, start, start)
        else:
            body = _BODIES[value].match(self._text, start + 1)
            assert body is not None
            stop = body.end()
            if self._text[stop : stop + 1] == "\\":
                self._add("ILLEGAL", self._text[stop : stop + 2], stop + 1, stop + 1)
            else:
                self._add("BADSTRING", _unescape(body[0]), start, start)


_DELIMITERS: Final = {"STRING": "'", "BADSTRING": "'\"", "REGEX": "/", "BADREGEX": "/"}


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def _place(text: str, offset: int, extra: int = 1) -> str:
    """`` at line L, char C`` of an offset; `extra` is added to the characters before it in its line."""
    lines = _NEWLINE.split(text[:offset])
    return f" at line {len(lines)}, char {len(lines[-1]) + extra}"
