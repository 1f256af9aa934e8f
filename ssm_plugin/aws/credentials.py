"""Finds AWS credentials where the AWS CLI finds them, within a time limit.

The first of these that has any::

    environment     AWS_ACCESS_KEY_ID …; passed over if a profile was given as an argument
    web identity    a token file and a role in the environment; likewise
    profile         a role or single sign-on, through botocore or the AWS CLI; else keys in the
                    credentials file, credential_process, keys in the config file
    container       the endpoint that ECS or EKS names in the environment
    instance        EC2 instance metadata, version 2

A source that is there but fails is an error: the next one would be another identity. It may work
again later, which NoCredentialsError excludes: no source has any, and none ever had. Each is
imported when its turn comes: it is the first that most often has some.
"""

import os
import threading
import time
from typing import Callable, Iterator, Mapping, Optional, Tuple

from .. import masking
from ..errors import CredentialsError, DeadlineError, NoCredentialsError
from ..net.timing import Deadline
from . import delegation
from .keys import Credentials, checked
from .profiles import (
    CONFIG_FILE,
    CREDENTIALS_FILE,
    Profile,
    Section,
    file_path,
    profile_name,
    read_profile,
)

# Seconds before the end of temporary credentials: from when on new ones are looked for, and until
# when the old ones will do if none are found.
RENEW_BEFORE = 600.0
USELESS_BEFORE = 60.0
_BELIEVED_FOR = 300.0  # s that the metadata service is believed to give good keys
_PAUSE = 60.0  # s after a renewal that brought nothing newer
# Seconds that a search without result is remembered: a session asks several times in a row.
FRUITLESS_FOR = 15.0

# The first is the older name; botocore and so the AWS CLI look at it first.
_ENVIRONMENT_TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_FILE_TOKENS = ("aws_security_token", "aws_session_token")


class CredentialProvider:
    """Credentials of one profile; safe to share between threads.

    ``time_limit`` (s) is for one search over all sources together, ``clock`` gives seconds since
    the epoch, ``region`` goes to STS where the profile has none. ``found_in`` is which source had
    them: environment, web identity, profile, container, instance; empty before they were found.
    """

    def __init__(
        self,
        profile: Optional[str] = None,
        environ: Mapping[str, str] = os.environ,
        time_limit: float = 10.0,
        clock: Callable[[], float] = time.time,
        region: Optional[str] = None,
    ) -> None:
        self._profile = profile or None
        self._environ = environ
        self._time_limit = time_limit
        self._clock = clock
        self._region = region
        self._lock = threading.Lock()
        self._current: Optional[Credentials] = None
        self.found_in = ""
        self._renew_at = 0.0
        self._failure = CredentialsError("")
        self._has_found = False
        self._failed_at = float("-inf")

    def __repr__(self) -> str:
        return "CredentialProvider(%r)" % self._profile

    def resolve(self) -> Credentials:
        """Credentials good for a minute at least. Temporary ones are renewed 10 minutes early.

        CredentialsError, within the time limit, if there are none; the next few calls then fail
        at once. It is NoCredentialsError if waiting for some is of no use.
        """
        # Held during the search, so that threads in need of the same keys search once.
        with self._lock:
            current, now = self._current, self._clock()
            if current is not None and (current.expires_at is None or now < self._renew_at):
                return current
            if 0 <= now - self._failed_at < FRUITLESS_FOR:
                raise type(self._failure)(str(self._failure))
            try:
                self._current = self._renewed(current, now)
            except CredentialsError as error:
                self._failure = type(error)(str(error))  # without its frames
                self._failed_at = self._clock()
                raise
            self._has_found = True
            self._renew_at = self._next_renewal(self._current, now)
            return self._current

    @property
    def are_known(self) -> bool:
        """Whether there are some already that are good still."""
        current = self._current
        return current is not None and _left(current, self._clock()) > 0

    @property
    def are_sought(self) -> bool:
        """Whether a thread is looking for them just now."""
        return self._lock.locked()

    def forget(self) -> None:
        """Search again next time: the service has refused these before their time."""
        with self._lock:
            self._current = None
            self._failed_at = float("-inf")

    def _renewed(self, current: Optional[Credentials], now: float) -> Credentials:
        try:
            found = self._search()
            is_over = found.expires_at is not None and found.expires_at <= now
            if is_over and self.found_in == "instance":
                # Where EC2 cannot renew keys, it gives the old ones, and AWS goes on taking them.
                found = found._replace(expires_at=now + RENEW_BEFORE + _BELIEVED_FOR)
            elif is_over:
                raise CredentialsError(
                    "the AWS credentials (%r) have expired: get new ones, with "
                    "'aws sso login' or however you got these" % (found,)
                )
        except CredentialsError:
            if current is not None and _left(current, now) > USELESS_BEFORE:
                return current
            raise
        masking.register_secret(found.secret_key)
        masking.register_secret(found.token or "")
        return found

    def _next_renewal(self, credentials: Credentials, now: float) -> float:
        left = _left(credentials, now)
        return now + max(left - RENEW_BEFORE, min(_PAUSE, left - USELESS_BEFORE))

    def _search(self) -> Credentials:
        deadline = Deadline(self._time_limit, "the search for AWS credentials")
        try:
            for name, source in self._sources():
                found = source(deadline)
                if found is not None:
                    self.found_in = name
                    return found
        except DeadlineError as error:
            raise CredentialsError(str(error)) from error
        raise self._nothing()

    def _sources(self) -> Iterator[Tuple[str, Callable[[Deadline], Optional[Credentials]]]]:
        if self._profile is None:
            yield "environment", lambda deadline: environment_credentials(self._environ)
            yield "web identity", self._from_web_identity
        yield "profile", self._from_profile
        yield "container", self._from_container
        yield "instance", self._from_instance

    def _from_web_identity(self, deadline: Deadline) -> Optional[Credentials]:
        if not delegation.has_web_identity(self._environ):
            return None
        why = "AWS_WEB_IDENTITY_TOKEN_FILE"
        return delegation.resolve(None, why, self._region, self._environ, deadline)

    def _from_profile(self, deadline: Deadline) -> Optional[Credentials]:
        profile = self._read_profile()
        why = delegation.reason(profile.settings)
        if why is not None:
            return delegation.resolve(profile.name, why, self._region, self._environ, deadline)
        keys = self._static(profile.credentials, CREDENTIALS_FILE, profile.name)
        command = profile.text("credential_process")
        if keys is None and command is not None:
            from .process import credential_process

            return credential_process(command, profile.name, self._environ, deadline)
        return keys or self._static(profile.config, CONFIG_FILE, profile.name)

    def _static(self, section: Section, variable: str, name: str) -> Optional[Credentials]:
        if not section.get("aws_access_key_id"):
            return None
        source = "profile %r of %s" % (name, file_path(variable, self._environ))
        if not section.get("aws_secret_access_key"):
            raise CredentialsError("aws_secret_access_key is missing in %s: add it there" % source)
        return checked(
            source,
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            next((section[name] for name in _FILE_TOKENS if section.get(name)), None),
        )

    def _from_container(self, deadline: Deadline) -> Optional[Credentials]:
        from .container import container_credentials

        return container_credentials(self._environ, deadline)

    def _from_instance(self, deadline: Deadline) -> Optional[Credentials]:
        from .metadata import instance_credentials

        return instance_credentials(self._read_profile(), self._environ, deadline)

    def _read_profile(self) -> Profile:
        return read_profile(self._profile, self._environ)

    def _nothing(self) -> CredentialsError:
        name = profile_name(self._profile, self._environ) or "default"
        looked = "" if self._profile else "in the environment, "
        # Where there were some, a file is being replaced, or the metadata service does not answer.
        kind = CredentialsError if self._has_found else NoCredentialsError
        return kind(
            "no AWS credentials were found: looked %sin the profile %r of "
            "%s and %s, at a container's endpoint and in the "
            "instance metadata; run 'aws configure', or name another profile with --profile or "
            "AWS_PROFILE"
            % (
                looked,
                name,
                file_path(CREDENTIALS_FILE, self._environ),
                file_path(CONFIG_FILE, self._environ),
            )
        )


def environment_credentials(environ: Mapping[str, str] = os.environ) -> Optional[Credentials]:
    """The keys in the environment, None without AWS_ACCESS_KEY_ID, CredentialsError if broken."""
    access_key = environ.get("AWS_ACCESS_KEY_ID")
    if not access_key:
        return None
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not secret_key:
        raise NoCredentialsError(  # our own environment stays as it is
            "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both or neither"
        )
    return checked(
        "the environment",
        access_key,
        secret_key,
        next((environ[name] for name in _ENVIRONMENT_TOKENS if environ.get(name)), None),
        environ.get("AWS_CREDENTIAL_EXPIRATION"),
    )


def _left(credentials: Credentials, now: float) -> float:
    """Seconds until they end."""
    return float("inf") if credentials.expires_at is None else credentials.expires_at - now
