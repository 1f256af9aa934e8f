"""Odd input, drawn from a seed: random bytes, damaged samples, and valid forms that say nonsense.

``Source`` wraps one ``random.Random``: the same seed gives the same input on every Python.
"""

import json
import os
import re

# Each once found in the wild, or in what other programs fell over.
ODD_BYTES = (
    b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\r", b"\n",
    b"\r\n\r\n", b"\x1b[2J", b"\x9b", b"\x7f", "\u2028\u202e".encode(), b"9" * 50, b"-1", b"%n",
)
ODD_TEXTS = (
    "", " ", "\0", "\n", "\ufeff", "\ud800", "\u202e", "\x1b[2J", "\x9b", "a" * 5000, "NaN",
    "1e999999", "-1", "9" * 5000, "${HOME}", "%s%n", "../../etc/passwd", "::1", "[", "]", "{",
    "true", "off", "0x10", "1_0", "\u0661\u0662", "ws://[", "wss://h:99999/", "wss://h/%00",
)
# JSON as text, for what no writer of JSON would write.
ODD_JSON = (
    "1e999999", "-1e999999", "NaN", "Infinity", "9" * 100000, "0." + "1" * 100000, "-0",
    '"\\ud800"', '"\\u0000"', "[" * 100000, '{"a":' * 100000, "[" * 900 + "]" * 900,
    "[" * 3000 + "]" * 3000, "[" * 30000 + "]" * 30000, '{"a":' * 900 + "1" + "}" * 900,
    '{"a":1,"a":2}', "", " ", "\ufeff{}", "{'a': 1}", '{"a":1}x', "tru",
)
BIG = (0, 1, -1, 255, 65535, 65536, 2**31, 2**32 - 1, 2**53, 2**63, -(2**63), 2**64, 10**400)

ALPHABET = (
    "abz019 .:/-_=%[]{}\"'\\#&*!|>@`,?\t\n\0\x1b\x9b\u00e9\u4e2d\u202e\ud800\U0001f600"
)
_VALUE = re.compile(r'[:\[] ?("[^"]*"|[0-9]+|true|null)')


class Source:
    def __init__(self, random):
        self.random = random

    def one(self, choices):
        return choices[self.random.randrange(len(choices))]

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def number(self, most):
        return self.random.randrange(most + 1)

    def bytes(self, most=200):
        return bytes(bytearray(self.random.getrandbits(8) for _ in range(self.number(most))))

    def text(self, most=20):
        if self.chance(40):
            return self.one(ODD_TEXTS)
        return "".join(self.one(ALPHABET) for _ in range(self.number(most)))

    def word(self):
        """What an argument of a process can be: any bytes but NUL."""
        data = self.text().encode("utf-8", "surrogatepass")
        return os.fsdecode((self.bytes(9) if self.chance(10) else data).replace(b"\0", b""))

    def value(self, depth=3):
        """What JSON can say."""
        kind = self.number(7 if depth else 5)
        if kind == 6:
            return [self.value(depth - 1) for _ in range(self.number(3))]
        if kind == 7:
            return {self.text(8): self.value(depth - 1) for _ in range(self.number(3))}
        return (None, self.chance(50), self.one(BIG), self.text(), 1.5, "Port")[kind]

    def disturbed(self, value, percent=15):
        """The same, with wrong types here and there."""
        if self.chance(percent):
            return self.value()
        if isinstance(value, dict):
            return {
                self.text(5) if self.chance(3) else key: self.disturbed(inner, percent)
                for key, inner in value.items()
                if not self.chance(3)
            }
        if isinstance(value, list):
            return [self.disturbed(inner, percent) for inner in value] * self.one((1, 1, 1, 0, 2))
        return value

    def json(self, sample):
        """Text that is JSON in the form of ``sample``, an object, or nearly."""
        if self.chance(3):
            return self.one(ODD_JSON)
        if self.chance(85):
            return json.dumps(self.disturbed(sample))
        # One value, wherever it is, becomes something that only text can say.
        text = json.dumps(sample)
        start, end = self.one([found.span(1) for found in _VALUE.finditer(text)])
        return text[:start] + self.one(ODD_JSON) + text[end:]

    def json_bytes(self, sample):
        text = self.json(sample)
        coding = self.one(("utf-8",) * 8 + ("utf-16", "utf-32", "utf-8-sig"))
        return text.encode(coding, "surrogatepass")

    def damaged(self, data):
        """Some of: bits flipped, cut, repeated, spliced, with odd bytes put in."""
        data = bytearray(data)
        for _ in range(1 + self.number(3)):
            place = self.number(len(data))
            kind = self.number(5)
            if kind == 0 and place < len(data):
                data[place] ^= 1 << self.number(7)
            elif kind == 1:
                del data[place:]
            elif kind == 2:
                data[place:place] = data[place:place + self.number(40)] * self.one((1, 2, 50))
            elif kind == 3:
                data[place:place] = self.one(ODD_BYTES)
            elif kind == 4:
                del data[place:place + self.number(20)]
            else:
                data[place:place + self.number(8)] = self.bytes(16)
        return bytes(data)

    def mixed(self, sample, generated):
        """One of: random bytes, the damaged sample, what ``generated()`` makes, that damaged."""
        kind = self.number(9)
        if kind == 0:
            return self.bytes()
        if kind <= 3:
            return self.damaged(sample)
        made = generated()
        return self.damaged(made) if kind == 4 else made
