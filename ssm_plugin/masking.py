"""Secrets: which they are, and a text without them."""

import re
from collections import deque
from typing import Deque, Optional, Pattern, Tuple

MASK = "***"

# Bounded; each resume and each refresh of credentials brings new ones, and old ones expire.
_secrets: Deque[str] = deque(maxlen=200)

# Between a name and its value: ``=``, ``: ``, ``": "``, ``', '``, with quotes escaped or not.
_SEPARATOR = r"\\*(?:[\"']\s*[:=,]|\s*[:=])\s*b?"
_NAMES = (
    "token_?value|session_?token|security-?token|token|secret_?access_?key|secret_?key"
    "|plaintext|password|signature"
)
_PATTERNS = (
    (r"(://[^/\s:@]*:)[^/\s]+@", r"\1" + MASK + "@"),
    # A whole header: the value ends with the line, or with the quote around it.
    (r"(?i)(authorization" + _SEPARATOR + r"\\*[\"']?)[^\"'\r\n]+", r"\1" + MASK),
    (
        r"(?i)((?:" + _NAMES + ")" + _SEPARATOR + ")"
        r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\*[\"']?[^\s\"',;&})]+)",
        r"\1" + MASK,
    ),
    (r"(?i)(<(?:\w+:)?(?:" + _NAMES + r")(?:\s[^<>]*)?>)[^<]+", r"\1" + MASK),
    (r"\b(A[KS]IA)[A-Z0-9]{12}([A-Z0-9]{4})\b", r"\1" + MASK + r"\2"),
)
_compiled: Optional[Tuple[Tuple["Pattern[str]", str], ...]] = None


def register_secret(value: str) -> None:
    """Mask ``value`` literally wherever it turns up. Very short ones would mask plain words."""
    if len(value) >= 8 and value not in _secrets:
        _secrets.append(value)


def mask(text: str) -> str:
    """``text`` without registered secrets, tokens, keys, signatures and passwords in URLs."""
    global _compiled
    if _compiled is None:
        _compiled = tuple((re.compile(pattern), into) for pattern, into in _PATTERNS)
    for secret in sorted(tuple(_secrets), key=len, reverse=True):
        for written in _spellings(secret):
            text = text.replace(written, MASK)
    for pattern, into in _compiled:
        text = pattern.sub(into, text)
    return text


def _spellings(secret: str) -> Tuple[str, ...]:
    """The secret as it is, as in a URL, and as in JSON, where some write a slash as ``\\/``."""
    from urllib.parse import quote

    return (secret, quote(secret, safe="", errors="backslashreplace"), secret.replace("/", "\\/"))
