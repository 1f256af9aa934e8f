"""Profiles of the AWS shared config and credentials files, read as the AWS CLI reads them.

INI without interpolation, keys in lower case; a section is ``[default]`` or ``[profile NAME]`` in
the config file, ``[NAME]`` in the credentials file, whose settings win. An indented block below
an empty value is a mapping. What a file says about other profiles is not judged. Lines are never
shown in errors, since they may hold keys; the file and the number of the line are.
"""

import os
from typing import Dict, List, Mapping, Optional, Union

from ..errors import CredentialsError, NoCredentialsError
from ..files import MIB, as_typed, read_regular
from ..named_tuple import NamedTuple

Setting = Union[str, Mapping[str, str]]
Section = Mapping[str, Setting]

CONFIG_FILE = "AWS_CONFIG_FILE"
CREDENTIALS_FILE = "AWS_SHARED_CREDENTIALS_FILE"
_LIMIT = 8 * MIB  # thousands of profiles
_DEFAULT_PATHS = {CONFIG_FILE: "~/.aws/config", CREDENTIALS_FILE: "~/.aws/credentials"}
_SECRET_KEYS = ("aws_secret_access_key", "aws_session_token", "aws_security_token")
# botocore's order, and so the AWS CLI's.
_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")


class ProfileNotFound(NoCredentialsError):
    """The profile that was named is in neither file."""


class Profile(NamedTuple):
    """One profile. ``settings`` is both files together; ``config`` and ``credentials`` each alone.

    ``services`` is the ``[services X]`` section that the setting ``services = X`` names: service id
    (``ssm``, ``kms``) to settings such as ``endpoint_url``; None if the file has no such section.
    ``repr`` shows none of the values.
    """

    name: str
    settings: Section = {}
    config: Section = {}
    credentials: Section = {}
    services: Optional[Mapping[str, Mapping[str, str]]] = {}

    def __repr__(self) -> str:
        return "Profile(%r, settings: %s)" % (self.name, ", ".join(sorted(self.settings)))

    def text(self, key: str) -> Optional[str]:
        """The setting ``key`` (``region``, ``ca_bundle`` …), None if absent, empty or a mapping."""
        value = self.settings.get(key)
        return value if isinstance(value, str) and value else None

    def plain(self) -> Dict[str, str]:
        """The settings that are text, keys left out. ``endpoint_url_ssm`` and its like are from
        ``services``, and go before ``endpoint_url``, which is for all services. ``services`` is
        there only if the file has no such section.
        """
        found = {
            key: value
            for key, value in self.settings.items()
            if isinstance(value, str) and not key.startswith("endpoint_url_")
        }
        for service, values in (self.services or {}).items():
            if values.get("endpoint_url"):
                found["endpoint_url_%s" % service] = values["endpoint_url"]
        if self.services is not None:
            found.pop("services", None)
        return {key: value for key, value in found.items() if key not in _SECRET_KEYS}


class _File(NamedTuple):
    path: str
    text: str
    sections: Mapping[str, Mapping[str, str]]
    problem: str = ""


def profile_name(profile: Optional[str], environ: Mapping[str, str]) -> Optional[str]:
    """The profile asked for by argument or environment, None if nobody asked."""
    named = [profile] + [environ.get(name) for name in _PROFILE_VARIABLES]
    return next((as_typed(name) for name in named if name), None)


def read_profile(profile: Optional[str], environ: Mapping[str, str] = os.environ) -> Profile:
    """The profile named by ``profile``, else by AWS_PROFILE, else ``default``, which may be absent.

    ProfileNotFound if a named profile exists in neither file, CredentialsError if one is not valid.
    """
    wanted = profile_name(profile, environ)
    name = wanted or "default"
    config_file = _read(CONFIG_FILE, environ)
    credentials_file = _read(CREDENTIALS_FILE, environ)
    in_config = _named_section(config_file, "profile", name)
    in_credentials = name if name in credentials_file.sections else None
    if wanted and in_config is None and in_credentials is None:
        raise _missing(name, config_file, credentials_file)
    config = _section(config_file, in_config)
    credentials = _section(credentials_file, in_credentials)
    settings = dict(config)
    settings.update(credentials)
    services = _services(config_file, settings.get("services"))
    return Profile(name, settings, config, credentials, services)


def profile_names(environ: Mapping[str, str] = os.environ) -> List[str]:
    """Those in either file, sorted. CredentialsError if one is not valid."""
    names = set(_read(CREDENTIALS_FILE, environ).sections)
    for section in _read(CONFIG_FILE, environ).sections:
        words = _words(section)
        if section == "default" or (len(words) == 2 and words[0] == "profile"):
            names.add(words[-1])
    return sorted(names)


def without_profiles(environ: Mapping[str, str]) -> Dict[str, str]:
    """``environ`` changed so that no profile is found, not even the default one."""
    left = {name: value for name, value in environ.items() if name not in _PROFILE_VARIABLES}
    return dict(left, **{CONFIG_FILE: os.devnull, CREDENTIALS_FILE: os.devnull})


def file_path(variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where the file is that ``variable`` (CONFIG_FILE, CREDENTIALS_FILE) may name."""
    path = environ.get(variable) or _DEFAULT_PATHS[variable]
    if "$" in path:
        from string import Template

        path = Template(path).safe_substitute(environ)
    home = environ.get("HOME")
    if home and path.startswith("~" + os.sep):
        return os.path.join(home, path[2:])
    return os.path.expanduser(path)


def _read(variable: str, environ: Mapping[str, str]) -> _File:
    path = file_path(variable, environ)
    try:
        data = read_regular(path, _LIMIT)
    except FileNotFoundError:
        return _File(path, "", {}, "does not exist")
    except OSError as error:  # like botocore: it may not be needed, but say it if a profile is
        return _File(path, "", {}, "cannot be read: %s" % error.strerror)
    text = _decoded(path, data)
    return _File(path, text, _parsed(path, text))


def _decoded(path: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _broken(path, line, "it is not UTF-8 text") from None
    return text.replace("\r\n", "\n")


def _parsed(path: str, text: str) -> Dict[str, Dict[str, str]]:
    import configparser  # takes long to load; who has no such file does without

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise _broken(path, error.lineno, "it stands before the first [section]") from None
    except configparser.ParsingError as error:
        raise _broken(path, error.errors[0][0], "it is not 'key = value'") from None
    except configparser.DuplicateSectionError as error:
        raise _broken(path, error.lineno, "the section is there twice") from None
    except configparser.DuplicateOptionError as error:
        raise _broken(path, error.lineno, "the setting is there twice") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _named_section(file: _File, kind: str, name: str) -> Optional[str]:
    """The last section for ``name``: ``[default]``, or ``[profile x]`` with or without quotes."""
    found = None
    for section in file.sections:
        if section == name == "default" and kind == "profile":
            found = section
        elif section.startswith(kind) and _words(section) == [kind, name]:
            found = section
    return found


def _words(section: str) -> List[str]:
    import shlex

    try:
        return shlex.split(section)
    except ValueError:  # an odd quote: such a section names nothing
        return []


def _section(file: _File, section: Optional[str]) -> Dict[str, Setting]:
    if section is None:
        return {}
    values: Dict[str, Setting] = {}
    for key, value in file.sections[section].items():
        values[key] = _nested(file, key, value) if value.startswith("\n") else value
    return values


def _nested(file: _File, key: str, block: str) -> Dict[str, str]:
    values = {}
    for line in filter(None, map(str.strip, block.splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            numbers = [n for n, text in enumerate(file.text.split("\n"), 1) if text.strip() == line]
            number = numbers[0] if numbers else None
            raise _broken(file.path, number, "below %r it is not 'key = value'" % key)
        values[name.strip()] = value.strip()
    return values


def _services(file: _File, name: Optional[Setting]) -> Optional[Mapping[str, Mapping[str, str]]]:
    if not name or not isinstance(name, str):
        return {}
    section = _named_section(file, "services", name)
    if section is None:
        return None
    found = _section(file, section)
    return {key: value for key, value in found.items() if not isinstance(value, str)}


def _broken(path: str, line: Optional[int], why: str) -> CredentialsError:
    where = "%s, line %d" % (path, line) if line else path
    return CredentialsError(
        "the AWS file %s cannot be understood: %s; correct the line" % (where, why)
    )


def _missing(name: str, *files: _File) -> ProfileNotFound:
    looked = " and ".join(
        "%s (%s)" % (file.path, file.problem or "does not have it") for file in files
    )
    return ProfileNotFound(
        "the AWS profile %r was not found: looked in %s; check --profile, AWS_PROFILE "
        "and the spelling, or make it with 'aws configure --profile %s'"
        % (name, looked, name)
    )
