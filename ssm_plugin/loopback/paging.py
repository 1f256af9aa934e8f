"""Pages of a long answer, as AWS gives them: a token leads to the next one, and to no other."""

import hashlib
from typing import List, Sequence, Tuple, TypeVar

from .json_api import ApiError

T = TypeVar("T")


def page_of(
    items: Sequence[T], size: int, token: object, question: str, invalid: str
) -> Tuple[List[T], str]:
    """The items of this page, and the token of the next, empty if this is the last. A token of
    another ``question`` is refused with the error ``invalid``."""
    start = 0
    if token is not None:
        number = str(token).partition("-")[0]
        if not number.isdecimal() or len(number) > 9 or token != _token(int(number), question):
            raise ApiError(invalid, "The specified token isn't valid.")
        start = int(number)
    end = start + size
    return list(items[start:end]), _token(end, question) if end < len(items) else ""


def _token(start: int, question: str) -> str:
    return "%d-%s" % (start, hashlib.sha256(question.encode("utf-8")).hexdigest()[:40])
