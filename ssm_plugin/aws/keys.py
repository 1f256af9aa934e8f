"""The record of one set of AWS credentials, and how it is read from the JSON that AWS defines.

No secret may show: ``repr`` hides it, and errors name the field and the source, never the value.
"""

import re
from typing import Optional

from ..errors import CredentialsError
from ..named_tuple import NamedTuple

_TIME = (
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,]\d+)?)?"
    r" ?(?:[Zz]|UTC|([+-])(\d\d):?(\d\d)?)?\Z"
)


class Credentials(NamedTuple):
    """``expires_at`` is in seconds since the epoch, None for keys that do not expire."""

    access_key: str
    secret_key: str
    token: Optional[str] = None
    expires_at: Optional[float] = None

    def __repr__(self) -> str:
        kind = "temporary" if self.token else "long-term"
        return "Credentials(%s…%s, %s)" % (self.access_key[:4], self.access_key[-4:], kind)


def checked(
    source: str,
    access_key: object,
    secret_key: object,
    token: object = None,
    expiration: object = None,
) -> Credentials:
    """Credentials from values as found at ``source``, which a CredentialsError names.

    ``expiration`` is ISO 8601 text, UTC unless it says otherwise. An empty token counts as none.
    """
    return Credentials(
        _key(source, "access key id", access_key),
        _key(source, "secret access key", secret_key),
        _key(source, "session token", token) if token else None,
        _seconds(source, expiration) if expiration else None,
    )


def from_document(source: str, document: object, token_name: str) -> Credentials:
    """The credentials in a JSON document: ``AccessKeyId``, ``SecretAccessKey``, ``Expiration``, and
    the token under ``token_name``."""
    if not isinstance(document, dict):
        raise CredentialsError("%s did not answer with a JSON object" % source)
    missing = [name for name in ("AccessKeyId", "SecretAccessKey") if not document.get(name)]
    if missing:
        raise CredentialsError("the answer of %s has no %s" % (source, " and no ".join(missing)))
    return checked(
        source,
        document["AccessKeyId"],
        document["SecretAccessKey"],
        document.get(token_name),
        document.get("Expiration"),
    )


def parse_time(text: str) -> float:
    """ISO 8601 to seconds since the epoch. ValueError if it is something else."""
    from datetime import datetime, timedelta, timezone  # take long to load

    match = re.match(_TIME, text.strip())
    if match is None:
        raise ValueError("not an ISO 8601 time")
    *fields, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = (int(field or 0) for field in fields)
    moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return (moment + offset if sign == "-" else moment - offset).timestamp()


def _key(source: str, what: str, value: object) -> str:
    # They become header values: a line break from a careless copy would end the header there.
    if not isinstance(value, str) or not re.match(r"[!-~]+\Z", value):
        raise CredentialsError(
            "the %s from %s is empty, or holds a space, a line break or another "
            "character that no key has: copy it again"
            % (what, source)
        )
    return value


def _seconds(source: str, expiration: object) -> float:
    try:
        if not isinstance(expiration, str):
            raise ValueError("not text")
        return parse_time(expiration)
    except (ValueError, OverflowError) as error:
        raise CredentialsError(
            "the expiration time from %s is not an ISO 8601 time such as "
            "2030-01-31T12:00:00Z"
            % source
        ) from error
