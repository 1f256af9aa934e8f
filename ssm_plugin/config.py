"""The configuration: a YAML file and a few environment variables -> typed values.

Durations are seconds, sizes bytes. Anything in the file that is not understood is a
``ConfigurationError`` that names the file, the line and the key.
"""

import os
import re
from typing import Any, Callable, Mapping, Optional, Tuple, Union

from .errors import ConfigurationError, UsageError
from .files import MIB, as_path, read_regular, user_directory
from .fleet_plan import MOST_PARALLEL, FleetPlan, parse_max_errors
from .named_tuple import NamedTuple
from .strict_yaml import (
    SCALARS,
    Parser,
    Place,
    Shape,
    described,
    did_you_mean,
    kind,
    list_of,
    mapping_of,
    read,
    scalar_of,
    section_of,
    shape_of,
)
from .units import SPEEDS, parse_duration, parse_period, parse_size, shortened

LEVELS = ("off", "error", "warning", "info", "debug")
ENGINES = ("sessions", "run-command")
SYSTEM_FILE = "/etc/ssm-plugin/config.yaml"


class NetworkSettings(NamedTuple):
    connect_timeout: float = 20.0
    proxy: Optional[str] = None
    no_proxy: Optional[str] = None
    ca_bundle: Optional[str] = None
    ping_interval: float = 30.0
    reconnect_timeout: float = 900.0
    stream_hosts: Tuple[str, ...] = ()
    stream_endpoint: Optional[str] = None
    window: int = 4096  # messages: the ceiling of the send window
    pace: Optional[float] = None  # messages a second; None: as fast as the window allows
    first_output_timeout: float = 60.0  # without a terminal: for a shell's first byte
    local_host: Optional[str] = None  # where the drop-in's port sessions listen; None: loopback

    def __repr__(self) -> str:
        return _shown(self, hidden="proxy")  # its URL may hold a password


class LogSettings(NamedTuple):
    """``level`` None: ``info`` if a file is named, else ``off``. ``file`` None: stderr."""

    level: Optional[str] = None
    file: Optional[str] = None
    max_bytes: int = 10000000
    backups: int = 3


class JobSettings(NamedTuple):
    """``command``: a str is a shell line, a tuple an argument list. ``output`` is a template.
    ``output_s3`` is where the engine ``run-command`` keeps whole outputs."""

    name: str
    targets: Tuple[str, ...]
    command: Union[str, Tuple[str, ...]]
    timeout: Optional[float] = None
    retries: int = 0
    lock: bool = False
    output: Optional[str] = None
    environment: Mapping[str, str] = {}
    document_name: Optional[str] = None
    profile: Optional[str] = None
    region: Optional[str] = None
    plan: FleetPlan = FleetPlan()
    engine: str = ENGINES[0]
    output_s3: Optional[str] = None

    def __repr__(self) -> str:
        return _shown(self, hidden="environment")


class Settings(NamedTuple):
    """``source`` is the file that these came from, None where there was none. ``speeds`` are
    those of single targets, by their configured names."""

    profile: Optional[str] = None
    region: Optional[str] = None
    endpoint_url: Optional[str] = None
    document_name: Optional[str] = None
    quiet: bool = False
    log: LogSettings = LogSettings()
    network: NetworkSettings = NetworkSettings()
    targets: Mapping[str, str] = {}
    jobs: Mapping[str, JobSettings] = {}
    speed: str = "plain"
    speeds: Mapping[str, str] = {}
    source: Optional[str] = None

    def override(self, **given: Any) -> "Settings":
        """These settings with what the command line gave: any field, or ``log_level`` and
        ``log_file``.

        None means "not given", so a switch that was left out must be None, not False."""
        fields = {name: value for name, value in given.items() if value is not None}
        log = {name[4:]: fields.pop(name) for name in list(fields) if name.startswith("log_")}
        if "file" in log:
            log["file"] = os.path.expanduser(log["file"])
        return self._replace(log=self.log._replace(**log), **fields)

    def speed_for(self, name: str) -> str:
        """The speed of tunnels and uploads to the target of this name."""
        return self.speeds.get(name, self.speed)

    def find_job(self, name: str) -> JobSettings:
        """:raises UsageError: if there is no such job"""
        if name not in self.jobs:
            place = self.source or "no configuration file was found"
            hint = did_you_mean(name, self.jobs)
            raise UsageError("no job is called %r (%s)%s" % (name, place, hint))
        return self.jobs[name]


def load(path: Optional[str] = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read ``path``, else ``$SSM_PLUGIN_CONFIG``, else the first default file that exists.

    :raises ConfigurationError: also if a file that was named is not there
    """
    source = path or environ.get("SSM_PLUGIN_CONFIG") or _default_file(environ)
    settings = _read(os.path.expanduser(source)) if source else Settings()
    return _with_environment(settings, environ)


# --- Where the settings come from.

# Which variables win over a key of the file; the first one that is set counts.
VARIABLES: Mapping[str, Tuple[str, ...]] = {
    "defaults.profile": ("AWS_DEFAULT_PROFILE", "AWS_PROFILE"),  # as botocore has them
    "defaults.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "defaults.endpoint_url": ("AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL"),
    "quiet": ("SSM_PLUGIN_QUIET",),
    "log.level": ("SSM_PLUGIN_LOG_LEVEL",),
    "log.file": ("SSM_PLUGIN_LOG_FILE",),
    "network.local_host": ("SSM_PLUGIN_LOCAL_HOST",),
}


def default_files(environ: Mapping[str, str] = os.environ) -> Tuple[str, str]:
    """Where a file is looked for if none was named, in this order."""
    base = user_directory(environ, "XDG_CONFIG_HOME", ".config")
    return os.path.join(base, "ssm-plugin", "config.yaml"), SYSTEM_FILE


def _default_file(environ: Mapping[str, str]) -> Optional[str]:
    # ``exists`` is False, too, beneath a home that we may not search, as after ``sudo -u``.
    return next((place for place in default_files(environ) if os.path.exists(place)), None)


def _read(source: str) -> Settings:
    try:
        data = read_regular(source, MIB, trusted=True) if source != os.devnull else b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        message = "the configuration file %s cannot be read: %s" % (source, why)
        raise ConfigurationError(message) from error
    settings: Settings = read(data, source, _FILE_SCHEMA)
    return settings._replace(source=source)


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Let the environment win over the file; an empty variable counts as not set."""

    def chosen(*names: str) -> Optional[str]:
        return next((environ[name] for name in names if environ.get(name)), None)

    def converted(key: str, convert: Callable[[str], Any]) -> Any:
        [name] = VARIABLES[key]
        try:
            return convert(environ[name]) if environ.get(name) else None
        except ValueError as error:
            raise ConfigurationError("%s: %s" % (name, error)) from error

    if chosen(*VARIABLES["defaults.profile"], "AWS_ACCESS_KEY_ID"):
        # The search for credentials reads these itself; naming a profile here would give it
        # precedence.
        settings = settings._replace(profile=None)
    local_host = converted("network.local_host", _line)
    if local_host:
        settings = settings._replace(network=settings.network._replace(local_host=local_host))
    return settings.override(
        region=chosen(*VARIABLES["defaults.region"]),
        endpoint_url=chosen(*VARIABLES["defaults.endpoint_url"]),
        quiet=converted("quiet", _flag),
        log_level=converted("log.level", _one_of(LEVELS)),
        log_file=converted("log.file", _path),
    )


def _shown(record: Any, hidden: str) -> str:
    shown = zip(record._fields, record)
    fields = ("%s=%s" % (n, "..." if n == hidden and v else repr(v)) for n, v in shown)
    return "%s(%s)" % (type(record).__name__, ", ".join(fields))


# --- From text to values. These raise ValueError.


def _line(text: str) -> str:
    if not text or re.search("[\0-\x1f\x7f]", text):
        raise ValueError("it is empty" if not text else "it holds a control character")
    return _content(text)


def _content(text: str) -> str:
    if re.search("[\0\ud800-\udfff]", text):
        raise ValueError("it holds a character that no argument can hold")
    return text


def _script(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return _content(text)


def _variable(name: str) -> str:
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*\Z", name):
        raise ValueError("not a name for an environment variable")
    return name


def _path(text: str) -> str:
    return os.path.expanduser(as_path(_line(text)))


def _flag(text: str) -> bool:
    value = _FLAGS.get(text.lower())
    if value is None:
        raise ValueError("%s is neither true nor false" % shortened(text))
    return value


_FLAGS = {"true": True, "yes": True, "on": True, "1": True}
_FLAGS.update({"false": False, "no": False, "off": False, "0": False})


def _one_of(known: Tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in known:
            raise ValueError("%s is not one of %s" % (shortened(text), ", ".join(known)))
        return text

    return check


def _from(low: float, high: float, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def within(text: str) -> Any:
        value = convert(text)
        if not low <= value <= high:
            raise ValueError("%s is not within %g and %g" % (shortened(text), low, high))
        return value

    return within


def _decimal(text: str) -> int:
    if not re.match(r"(0|[1-9][0-9]{0,15})\Z", text):
        raise ValueError("%s is not a whole number" % shortened(text))
    return int(text)


def _job(
    target: Optional[str] = None,
    targets: Tuple[str, ...] = (),
    command: Union[None, str, Tuple[str, ...]] = None,
    **others: Any,
) -> JobSettings:
    if not command:
        raise ValueError("a job needs a command")
    if (target is None) == (not targets):
        raise ValueError("a job needs either a target or targets")
    plan = {name: others.pop(name) for name in FleetPlan._fields if name in others}
    whole = FleetPlan(**plan).check()
    return JobSettings("", targets or (str(target),), command, plan=whole, **others)


def _settings(
    defaults: Mapping[str, Any] = {},
    jobs: Mapping[str, JobSettings] = {},
    targets: Mapping[str, Tuple[str, Optional[str]]] = {},
    **others: Any,
) -> Settings:
    named = {name: job._replace(name=name) for name, job in jobs.items()}
    ids = {name: target for name, (target, _) in targets.items()}
    speeds = {name: speed for name, (_, speed) in targets.items() if speed}
    return Settings(targets=ids, speeds=speeds, jobs=named, **defaults, **others)


def _target(id: str = "", speed: Optional[str] = None) -> Tuple[str, Optional[str]]:
    if not id:
        raise ValueError("a target needs an id")
    return id, speed


def _target_of(node: Any, place: Place) -> Any:
    return _TARGET(node, place) if kind(node) == "map" else (_TEXT(node, place), None)


def _command(node: Any, place: Place) -> Union[str, Tuple[str, ...]]:
    parse = _ARGUMENTS if kind(node) == "seq" else _SCRIPT
    return parse(node, place)


# --- What the file may say.


def _choice(known: Tuple[str, ...], *kinds: str) -> Parser:
    return scalar_of("one of " + ", ".join(known), _one_of(known), *kinds)


_TEXT = scalar_of("text", _line, "str")
_ANY_TEXT = scalar_of("text", lambda text: text and _line(text), "str")
_SPEED = _choice(SPEEDS, "str")
_TARGET = section_of(_target, id=_TEXT, speed=_SPEED)
_ANY_TARGET = described(_target_of, Shape("text, or {id, speed}"))
_FILE = scalar_of("a path", _path, "str")
_LEVEL = _choice(LEVELS, *SCALARS)  # YAML 1.1 reads ``off`` as a boolean
_COMMAND = described(_command, Shape("a line for a shell, or a list of words"))
_SWITCH = scalar_of("true or false", _flag, "bool")
_PERIOD = scalar_of("a duration", parse_period, "str", "int", "float")
_SIZE = scalar_of("a size", _from(1024, 1e12, parse_size), "str", "int", "float")
_SCRIPT = scalar_of("a command", _script, "str")
_ARGUMENTS = list_of(scalar_of("text", _content, "str", "int", "float"))


def _count(low: int, high: int) -> Parser:
    return scalar_of("a whole number", _from(low, high, _decimal), "int")


_FILE_SCHEMA = section_of(
    _settings,
    defaults=section_of(dict, profile=_TEXT, region=_TEXT, endpoint_url=_TEXT, document_name=_TEXT),
    quiet=_SWITCH,
    log=section_of(LogSettings, level=_LEVEL, file=_FILE, max_bytes=_SIZE, backups=_count(1, 100)),
    network=section_of(
        NetworkSettings,
        connect_timeout=_PERIOD,
        proxy=_ANY_TEXT,  # an empty one switches that of the environment off
        no_proxy=_ANY_TEXT,
        ca_bundle=_FILE,
        ping_interval=_PERIOD,
        reconnect_timeout=scalar_of("a duration", parse_duration, "str", "int", "float"),
        stream_hosts=list_of(_TEXT),
        stream_endpoint=_TEXT,
        window=_count(1, 10000),
        pace=scalar_of("a number", _from(0.1, 1e6, float), "int", "float"),
        first_output_timeout=_PERIOD,
        local_host=_TEXT,
    ),
    speed=_SPEED,
    targets=mapping_of(_line, _ANY_TARGET),
    jobs=mapping_of(
        _line,
        section_of(
            _job,
            target=_TEXT,
            targets=list_of(_TEXT),
            command=_COMMAND,
            timeout=_PERIOD,
            retries=_count(0, 100),
            lock=_SWITCH,
            output=_TEXT,
            environment=mapping_of(_variable, scalar_of("text", _content, "str", "int", "float")),
            document_name=_TEXT,
            profile=_TEXT,
            region=_TEXT,
            parallel=_count(1, MOST_PARALLEL),
            max_errors=scalar_of("a number or a part such as 10%", parse_max_errors, "str", "int"),
            rolling=_count(1, MOST_PARALLEL),
            pause=_PERIOD,
            engine=_choice(ENGINES, "str"),
            output_s3=_TEXT,
        ),
    ),
)

# For help: what the file may say.
FILE_SHAPE = shape_of(_FILE_SCHEMA)
