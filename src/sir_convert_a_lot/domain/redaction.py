"""What must not leave a machine in a bug report: keys, tokens, names of people and machines, home folders, addresses.

Owns the rules. Two kinds work together: values that are known to be private (`PrivateWords`), replaced wherever they
stand, and shapes that are private whoever wrote them. Where it is unclear, it is replaced: a report with a hole in it
costs a question, one with a key in it costs the key.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

SECRET, HOME, USER, HOST, ADDRESS, MAIL = "<secret>", "<home>", "<user>", "<host>", "<address>", "<mail>"

# A variable, a setting or a header with such a name holds a secret.
SECRET_NAME = re.compile(
    r"key(?!board|word|s?_?type)|token|secret|passw|passphrase|credential|cookie|dsn\b|database_url|auth(?!or)",
    re.IGNORECASE,
)
# They say nothing of anyone, and would be found in any text.
COMMON_WORDS = frozenset(
    {"root", "user", "users", "host", "localhost", "local", "home", "admin", "secret", "true", "false"}
)
# A shorter value is replaced only beside its name: as a mere run of letters it would be found in other words.
LEAST_LENGTH = 6

_KIND = r"(?:key|token|secret|passw(?:or)?d|passphrase|credential|cookie|auth|dsn|database_url)"
_NAME = rf"[A-Za-z0-9_.\-]{{0,60}}{_KIND}[A-Za-z0-9_.\-]{{0,60}}"  # bounded: a log may hold a line without an end
_ASSIGNED = re.compile(
    rf"(?P<name>{_NAME})(?P<between>[\"']?\s*(?:[:=]|=>)\s*(?:Bearer\s+|Basic\s+)?)"
    r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;&\"'}\])]+)",
    re.IGNORECASE,
)
# On a command line, or in a list of its words, the value stands apart from the name. A name that is no option must be
# two words in one, and its value long: "the token is missing" is a sentence.
_SPACED = re.compile(
    rf"(?P<name>(?<![\w-])--[\w-]*{_KIND}[\w-]*)(?P<between>[ \t]+|[\"'],\s*)"
    r"(?P<value>(?!-)(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s,;&\"'}\])]+))"
    rf"|(?P<word>\b\w+[_-]{_KIND})(?P<apart>[ \t]+)(?P<long>(?!-)[^\s,;&\"'}}\])]{{6,}})",
    re.IGNORECASE,
)
_SHAPES = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<=\bBearer )\S+|(?<=\bBasic )[A-Za-z0-9+/=]{6,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"),  # a JSON web token
    re.compile(r"\b(?:hf|gh[pousr]|glpat|sk|pk|rk|xox[abeoprs]|npm|pypi|dckr_pat)[_-][\w-]{16,}"),
    re.compile(r"\bgithub_pat_\w{20,}"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"(?<=://)[^/\s@\"']+(?=@)"),  # name and password, or a token alone, in a URL
)
_HOMES = re.compile(r"(?:/home/|/Users/|/var/home/)[^/\s\"':;,)\]}<>]+|(?<![\w.])/root(?=[/\s\"':;,)]|$)")
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# A version may have four parts too: not after `==` and its like, nor after a name and a dash, as a wheel has it; after
# another address and a dash it is the end of a range.
_IPV4 = re.compile(
    r"(?:(?<![\w.+-])(?<![=<>~!]=)|(?<=\.\d-)|(?<=\.\d\d-)|(?<=\.\d\d\d-)|(?<=<address>-))"
    r"(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)(?!\+)(?!-(?:py|cp|pp)\d)"
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*::?[0-9A-Fa-f:]+(?![\w:])(?!\.\w)")


@dataclass(frozen=True, slots=True)
class PrivateWords:
    """What is known to be private on the machines that a report speaks of. `secrets`: values, not names."""

    users: frozenset[str] = frozenset()
    homes: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    def __or__(self, other: PrivateWords) -> PrivateWords:
        return PrivateWords(
            self.users | other.users,
            self.homes | other.homes,
            self.hosts | other.hosts,
            self.secrets | other.secrets,
        )

    def with_secret(self, secret: str) -> PrivateWords:
        return self | PrivateWords(secrets=frozenset({secret}))


def read_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of the variables whose names say that they hold a secret."""
    return frozenset(value for name, value in environment.items() if value and SECRET_NAME.search(name))


class Redactor:
    """Replaces what is private in texts; the same words the same way in each. Keeps no text."""

    def __init__(self, words: PrivateWords) -> None:
        secrets = _spellings(value for value in words.secrets if len(value) >= LEAST_LENGTH)
        homes = [home for home in words.homes if len(home) > 1]
        self._values = [
            *((re.compile(re.escape(value)), SECRET) for value in _longest_first(secrets)),
            *((_alone(home), HOME) for home in _longest_first(homes)),
        ]
        labels = dict.fromkeys(words.users, USER) | dict.fromkeys(words.hosts, HOST)
        self._names = [
            (_alone(name, re.IGNORECASE if labels[name] is HOST else re.RegexFlag.NOFLAG), labels[name])
            for name in _longest_first(_telling(labels))
        ]

    def redact(self, text: str) -> str:
        """The text without what is private. What was redacted before stays as it is."""
        for value, label in self._values:
            text = value.sub(label, text)
        text = _SPACED.sub(_hide_spaced, _ASSIGNED.sub(_hide_value, text))
        for shape in _SHAPES:
            text = shape.sub(SECRET, text)
        text = _MAIL.sub(MAIL, _HOMES.sub(HOME, text))
        text = _IPV4.sub(_hide_address, _IPV6.sub(_hide_address, text))
        for name, label in self._names:
            text = name.sub(label, text)
        return text


def _longest_first(values: Iterable[str]) -> list[str]:
    return sorted(values, key=lambda value: (-len(value), value))


def _telling(names: Iterable[str]) -> list[str]:
    return [name for name in names if len(name) > 1 and name.lower() not in COMMON_WORDS]


def _spellings(values: Iterable[str]) -> set[str]:
    """As it is, as JSON writes it, and as a URL does."""
    return {
        spelled
        for value in values
        for spelled in (
            value,
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            quote(value, safe=""),
        )
    }


def _alone(word: str, flags: re.RegexFlag = re.RegexFlag.NOFLAG) -> re.Pattern[str]:
    """The word, not a part of a longer one, and not within a label of ours."""
    return re.compile(rf"(?<![A-Za-z0-9_<]){re.escape(word)}(?![A-Za-z0-9_>])", flags)


def _hide_value(found: re.Match[str]) -> str:
    value = found["value"]
    if value in {"null", "None", "true", "false", "{", "["} or set(value.strip("\"'")) <= {"*"} or SECRET in value:
        return found[0]
    quotes = value[0] if value[0] in "\"'" else ""
    return f"{found['name']}{found['between']}{quotes}{SECRET}{quotes}"


def _hide_spaced(found: re.Match[str]) -> str:
    if found["word"] is not None:
        return found[0] if SECRET in found["long"] else f"{found['word']}{found['apart']}{SECRET}"
    return _hide_value(found)


def _hide_address(found: re.Match[str]) -> str:
    try:
        address = ipaddress.ip_address(found[0])
    except ValueError:
        return found[0]
    return found[0] if address.is_loopback or address.is_unspecified else ADDRESS
