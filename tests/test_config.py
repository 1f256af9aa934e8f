import os
import subprocess
import sys
import textwrap

import pytest

from ssm_plugin import config, units
from ssm_plugin.errors import ConfigurationError, UsageError
from ssm_plugin.net.proxy import choose_proxy

EXAMPLE = """\
defaults: {profile: ops, region: eu-west-1}
quiet: false
log: {level: warning, file: ~/.local/state/ssm-plugin/log, max_bytes: 10MB, backups: 3}
network:
  connect_timeout: 20s
  proxy: http://proxy.example:3128
  ca_bundle: /etc/pki/corp.pem
  ping_interval: 30s
  reconnect_timeout: 15m
  stream_hosts: [my-vpce.example]
  stream_endpoint: vpce-1.ssmmessages.eu-west-1.vpce.amazonaws.com
targets: {db1: i-0123456789abcdef0}
jobs:
  nightly-backup:
    target: db1
    command: /usr/local/bin/backup --all
    timeout: 30m
    retries: 2
    lock: true
    output: /var/log/backup/%Y-%m-%d.log
"""


@pytest.fixture
def load(tmp_path):
    def load(text, **environ):
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return config.load(str(file), environ)

    return load


@pytest.fixture
def problem(load, tmp_path):
    """The error that a text leads to, without the directory."""

    def problem(text):
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        message = str(caught.value)
        assert "\n" not in message
        return message.replace(str(tmp_path) + "/", "")

    return problem


# --- What is read


def test_the_documented_example_is_read_whole(load, tmp_path):
    settings = load(EXAMPLE)
    assert settings == config.Settings(
        profile="ops",
        region="eu-west-1",
        quiet=False,
        log=config.LogSettings(
            "warning", os.path.expanduser("~/.local/state/ssm-plugin/log"), 10000000, 3
        ),
        network=config.NetworkSettings(
            connect_timeout=20.0,
            proxy="http://proxy.example:3128",
            ca_bundle="/etc/pki/corp.pem",
            ping_interval=30.0,
            reconnect_timeout=900.0,
            stream_hosts=("my-vpce.example",),
            stream_endpoint="vpce-1.ssmmessages.eu-west-1.vpce.amazonaws.com",
        ),
        targets={"db1": "i-0123456789abcdef0"},
        jobs={
            "nightly-backup": config.JobSettings(
                "nightly-backup",
                ("db1",),
                "/usr/local/bin/backup --all",
                timeout=1800.0,
                retries=2,
                lock=True,
                output="/var/log/backup/%Y-%m-%d.log",
            )
        },
        source=str(tmp_path / "config.yaml"),
    )


def test_a_job_may_say_everything(load):
    job = load(
        """
        jobs:
          all:
            targets: [db1, db2]
            command: [sleep, 5, ""]
            timeout: 90
            environment: {LEVEL: 3, EMPTY: "", NAME: "on"}
            document_name: Own-Document
            profile: batch
            region: eu-central-1
        """
    ).find_job("all")
    assert job.targets == ("db1", "db2")
    assert job.command == ("sleep", "5", "")
    assert job.timeout == 90.0
    assert job.environment == {"LEVEL": "3", "EMPTY": "", "NAME": "on"}
    assert (job.document_name, job.profile, job.region) == (
        "Own-Document",
        "batch",
        "eu-central-1",
    )


def test_a_command_may_be_a_script_of_several_lines(load):
    job = load("jobs:\n j:\n  target: t\n  command: |\n   echo a\n   echo b\n").find_job("j")
    assert job.command == "echo a\necho b\n"


@pytest.mark.parametrize("text", ["", "# nothing\n", "jobs:\nlog:\n", "---\n", b"\xef\xbb\xbf"])
def test_a_file_with_nothing_in_it_gives_the_defaults(load, text):
    assert load(text)._replace(source=None) == config.Settings()


def test_the_log_level_off_is_a_level_and_no_boolean(load):
    assert load("log: {level: off}").log.level == "off"


def test_an_alias_stands_for_what_it_names(load):
    jobs = load(
        """
        jobs:
          a: {target: t, command: x, environment: &shared {A: b}}
          b: {target: t, command: y, environment: *shared}
        """
    ).jobs
    assert jobs["b"].environment == {"A": "b"}


def test_where_port_sessions_listen_and_how_long_a_shell_may_take(load):
    network = load("network: {first_output_timeout: 5m, local_host: 0.0.0.0}").network
    assert (network.first_output_timeout, network.local_host) == (300.0, "0.0.0.0")
    network = load("network: {local_host: a}", SSM_PLUGIN_LOCAL_HOST="127.0.0.2").network
    assert network.local_host == "127.0.0.2"


def test_the_network_can_be_tuned(load):
    network = load("network: {window: 100, pace: 12.5, reconnect_timeout: 0, no_proxy: x}").network
    assert (network.window, network.pace, network.reconnect_timeout) == (100, 12.5, 0.0)
    assert network.no_proxy == "x"


def test_an_empty_proxy_means_none_whatever_the_environment_says(load):
    network = load("network: {proxy: '', no_proxy: ''}").network
    assert (network.proxy, network.no_proxy) == ("", "")
    assert choose_proxy("https", "x.example", 443, {"HTTPS_PROXY": "http://p"}, network) is None


# --- What is refused, and how


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "jobs:\n  n:\n    tiemout: 1\n",
            "config.yaml:3: jobs.n.tiemout: unknown key; did you mean 'timeout'?",
        ),
        ("quite: true\n", "config.yaml:1: quite: unknown key; did you mean 'quiet'?"),
        (
            "log:\n  zzz: 1\n",
            "config.yaml:2: log.zzz: unknown key; known here: backups, file, level, max_bytes",
        ),
        ("quiet: 1\n", "config.yaml:1: quiet: expected true or false, found a number"),
        ("\nquiet:\n", "config.yaml:2: quiet: expected true or false, found nothing"),
        (
            "defaults: {profile: 12345}\n",
            "config.yaml:1: defaults.profile: expected text, found a number; put quotes around it",
        ),
        (
            "defaults: {profile: }\n",
            "config.yaml:1: defaults.profile: expected text, found nothing",
        ),
        (
            "targets: {a: 2020-01-01}\n",
            "config.yaml:1: targets.a: expected text, found a date; put quotes around it",
        ),
        ("targets: {a: ''}\n", "config.yaml:1: targets.a: it is empty"),
        ('targets: {a: "b\\n"}\n', "config.yaml:1: targets.a: it holds a control character"),
        ("targets: {a: [b]}\n", "config.yaml:1: targets.a: expected text, found a list"),
        ("targets: [b]\n", "config.yaml:1: targets: expected a mapping, found a list"),
        ("- a\n", "config.yaml:1: expected a mapping, found a list"),
        ("just text\n", "config.yaml:1: expected a mapping, found text"),
        (
            "network:\n  stream_hosts: x\n",
            "config.yaml:2: network.stream_hosts: expected a list, found text",
        ),
        (
            "network:\n  stream_hosts:\n  - x\n  - {}\n",
            "config.yaml:4: network.stream_hosts.2: expected text, found a mapping",
        ),
        (
            "network: {connect_timeout: 5x}\n",
            "config.yaml:1: network.connect_timeout: '5x' is not "
            "a duration, such as 20s, 15m or 1h30m",
        ),
        (
            "network: {connect_timeout: 1:30}\n",
            "config.yaml:1: network.connect_timeout: '1:30' is "
            "not a duration, such as 20s, 15m or 1h30m",
        ),
        (
            "network: {connect_timeout: 0}\n",
            "config.yaml:1: network.connect_timeout: it must be more than 0",
        ),
        (
            "network: {connect_timeout: [5]}\n",
            "config.yaml:1: network.connect_timeout: expected a duration, found a list",
        ),
        ("network: {window: 0}\n", "config.yaml:1: network.window: '0' is not within 1 and 10000"),
        ("network: {window: 010}\n", "config.yaml:1: network.window: '010' is not a whole number"),
        (
            "network: {window: 1.5}\n",
            "config.yaml:1: network.window: expected a whole number, found a number",
        ),
        (
            "log: {max_bytes: 10XB}\n",
            "config.yaml:1: log.max_bytes: '10XB' is not a size, such as 10MB or 64KiB",
        ),
        (
            "log: {level: loud}\n",
            "config.yaml:1: log.level: 'loud' is not one of off, error, warning, info, debug",
        ),
        (
            "log: {level: []}\n",
            "config.yaml:1: log.level: expected one of off, error, warning, info, debug, found "
            "a list",
        ),
        ("a: 1\na: 2\n", "config.yaml:2: a: given twice, first in line 1"),
        ("targets: {[a]: b}\n", "config.yaml:1: targets.?: a key must be a plain word"),
        ("targets: {'': b}\n", "config.yaml:1: targets.: it is empty"),
        ("jobs:\n  j: {target: t}\n", "config.yaml:2: jobs.j: a job needs a command"),
        (
            "jobs:\n  j: {command: x}\n",
            "config.yaml:2: jobs.j: a job needs either a target or targets",
        ),
        (
            "jobs: {j: {target: a, targets: [b], command: x}}\n",
            "config.yaml:1: jobs.j: a job needs either a target or targets",
        ),
        ("jobs: {j: {target: a, command: ' '}}\n", "config.yaml:1: jobs.j.command: it is empty"),
        ("jobs: {j: {target: a, command: []}}\n", "config.yaml:1: jobs.j: a job needs a command"),
        (
            "jobs: {j: {target: a, command: [yes]}}\n",
            "config.yaml:1: jobs.j.command.1: expected "
            "text, found true or false; put quotes around it",
        ),
        (
            'jobs: {j: {target: a, command: "x\\0"}}\n',
            "config.yaml:1: jobs.j.command: it holds a character that no argument can hold",
        ),
        (
            "jobs: {j: {target: a, command: x, environment: {A B: c}}}\n",
            "config.yaml:1: jobs.j.environment.A B: not a name for an environment variable",
        ),
    ],
)
def test_an_error_names_the_file_the_line_and_the_key(problem, text, message):
    assert problem(text) == message


@pytest.mark.parametrize(
    "text, start",
    [
        (
            "a: 1\n\tb: 2\n",
            "config.yaml:2: found character '\\t' that cannot start any token; indent with spaces",
        ),
        ("a: [1\nb: 2\n", "config.yaml:2: "),
        ("a: 'b\n", "config.yaml:2: "),
        ("a: *nowhere\n", "config.yaml:1: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "config.yaml:2: but found another document"),
        (b"a: 1\nb: \xff\n", "config.yaml:2: this is not UTF-8 text"),
        ("a: 1\nb: \x07\n", "config.yaml:2: a control character is not allowed here"),
        ('targets: {a: "\\UFFFFFFFF"}\n', "config.yaml: this is not usable YAML"),
        ("[" * 20000, "config.yaml:1: nested too deep"),
    ],
)
def test_what_is_not_yaml_is_one_line_with_its_number(problem, text, start):
    assert problem(text).startswith(start)


@pytest.mark.parametrize(
    "text",
    [
        "targets: &again {a: *again}\n",
        "jobs: &again {a: *again}\n",
        "&again a: *again\n",
        "network: {stream_hosts: &again [*again]}\n",
    ],
)
def test_recursion_is_refused(problem, text):
    assert problem(text).startswith("config.yaml:1: ")


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.abort []", "!own x", "!!str [a]", "!!map x", "!!set {a}"]
)
def test_a_tag_makes_nothing_happen(problem, value):
    assert problem("targets: {{a: {}}}".format(value)).startswith("config.yaml:1: targets.a: ")


def test_aliases_of_aliases_cost_nothing(problem):
    levels = ["l0: &l0 x"] + [
        "l{}: &l{} [{}]".format(n, n, ", ".join(["*l%d" % (n - 1)] * 9)) for n in range(1, 40)
    ]
    assert problem("\n".join(levels)).startswith("config.yaml:1: l0: unknown key")


# --- Where it comes from


def test_no_file_gives_the_defaults(tmp_path):
    assert config.load(environ={"HOME": str(tmp_path)}) == config.Settings()


@pytest.mark.parametrize(
    "variable, value, place",
    [
        ("SSM_PLUGIN_CONFIG", "own.yaml", "own.yaml"),
        ("XDG_CONFIG_HOME", "xdg", "xdg/ssm-plugin/config.yaml"),
        ("HOME", "home", "home/.config/ssm-plugin/config.yaml"),
    ],
)
def test_the_file_is_found_where_it_is_documented(tmp_path, variable, value, place):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("quiet: true")
    settings = config.load(environ={"HOME": "/nowhere", variable: str(tmp_path / value)})
    assert settings.quiet and settings.source == str(file)


def test_a_relative_folder_for_configurations_does_not_count(tmp_path, monkeypatch):
    (tmp_path / "xdg" / "ssm-plugin").mkdir(parents=True)
    (tmp_path / "xdg" / "ssm-plugin" / "config.yaml").write_text("quiet: true")
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "xdg"}
    assert config.load(environ=environ).source is None
    assert config.default_files(environ)[0] == "/nowhere/.config/ssm-plugin/config.yaml"


def test_the_path_given_wins_over_the_environment(tmp_path):
    (tmp_path / "given").write_text("quiet: true")
    assert config.load(str(tmp_path / "given"), {"SSM_PLUGIN_CONFIG": "/nowhere"}).quiet


@pytest.mark.parametrize("named, more", [("~/x", {}), (None, {"SSM_PLUGIN_CONFIG": "~/x"})])
def test_a_path_may_be_beneath_the_home(tmp_path, monkeypatch, named, more):
    (tmp_path / "x").write_text("quiet: true")
    monkeypatch.setenv("HOME", str(tmp_path))  # no shell does it for --config=~/x
    assert config.load(named, dict(more, HOME=str(tmp_path))).source == str(tmp_path / "x")


@pytest.mark.parametrize("environ", [{}, {"SSM_PLUGIN_CONFIG": "/nowhere/env.yaml"}])
def test_a_file_that_was_named_must_be_there(environ):
    path = None if environ else "/nowhere/given.yaml"
    with pytest.raises(ConfigurationError) as caught:
        config.load(path, environ)
    assert "/nowhere/" in str(caught.value) and "No such file" in str(caught.value)


def test_a_directory_is_no_configuration(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        config.load(str(tmp_path), {})
    assert str(tmp_path) in str(caught.value)


def test_dev_null_stands_for_no_file():
    assert config.load("/dev/null", {})._replace(source=None) == config.Settings()
    assert config.load(None, {"SSM_PLUGIN_CONFIG": "/dev/null"}).source == "/dev/null"


def test_without_pyyaml_only_a_file_is_an_error(tmp_path):
    (tmp_path / "config.yaml").write_text("quiet: true")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ssm_plugin import config\n"
        "assert config.load(environ={'HOME': '/nowhere'}) == config.Settings()\n"
        "try: config.load(sys.argv[2], {})\n"
        "except config.ConfigurationError as error: print(error)\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(config.__file__)))
    command = [sys.executable, "-I", "-S", "-c", script, root, str(tmp_path / "config.yaml")]
    shown = subprocess.check_output(command, timeout=40).decode()
    assert shown.strip().endswith("config.yaml: PyYAML is needed to read it")


# --- Command line over environment over file over default


def test_the_environment_wins_over_the_file(load):
    text = "{quiet: false, log: {level: error, file: /f}, defaults: {region: a, endpoint_url: b}}"
    settings = load(
        text,
        SSM_PLUGIN_QUIET="1",
        SSM_PLUGIN_LOG_LEVEL="debug",
        SSM_PLUGIN_LOG_FILE="/g",
        AWS_REGION="c",
        AWS_ENDPOINT_URL="d",
    )
    assert settings.quiet
    assert settings.log[:2] == ("debug", "/g")
    assert (settings.region, settings.endpoint_url) == ("c", "d")


def test_an_empty_variable_counts_as_not_set(load):
    settings = load("{quiet: true, defaults: {region: a}}", SSM_PLUGIN_QUIET="", AWS_REGION="")
    assert settings.quiet and settings.region == "a"


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_credentials_in_the_environment_put_the_default_profile_aside(load, variable):
    assert load("defaults: {profile: ops}").profile == "ops"
    assert load("defaults: {profile: ops}", **{variable: "x"}).profile is None


@pytest.mark.parametrize("variable", ["SSM_PLUGIN_QUIET", "SSM_PLUGIN_LOG_LEVEL"])
def test_a_wrong_variable_is_named(variable):
    with pytest.raises(ConfigurationError) as caught:
        config.load(environ={"HOME": "/nowhere", variable: "maybe"})
    assert str(caught.value).startswith(variable + ": 'maybe' is ")


def test_the_command_line_wins_and_what_it_left_out_changes_nothing():
    settings = config.Settings(region="a", profile="b", quiet=True)
    changed = settings.override(region="c", profile=None, quiet=None, log_level="info")
    assert changed == settings._replace(region="c", log=config.LogSettings("info"))


def test_a_log_file_is_beneath_the_home_if_the_command_line_says_so(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")  # no shell does it for --log-file=~/log
    assert config.Settings().override(log_file="~/log").log.file == "/home/someone/log"


# --- Names


def test_a_slip_in_the_name_of_a_job_is_pointed_out():
    settings = config.Settings(jobs={"nightly": config.JobSettings("nightly", ("t",), "c")})
    with pytest.raises(UsageError, match="no job is called 'nihgtly' .*; did you mean 'nightly'"):
        settings.find_job("nihgtly")


def test_what_may_hold_secrets_is_not_shown():
    settings = config.Settings(
        network=config.NetworkSettings(proxy="http://me:hunter22@proxy"),
        jobs={"j": config.JobSettings("j", ("t",), "c", environment={"KEY": "hunter22"})},
    )
    assert "hunter22" not in repr(settings)
    assert "connect_timeout=20.0" in repr(settings)


# --- Units


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("20s", 20),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("500ms", 0.5),
        ("45", 45),
        ("1.5", 1.5),
        ("1h30m", 5400),
        ("1m500ms", 60.5),
        ("1.5h", 5400),
        ("0", 0),
    ],
)
def test_durations(text, seconds):
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1",
        "1 h",
        "30m1h",
        "1x",
        "1_0",
        "inf",
        "nan",
        "1e3",
        "\u0661",
        "5\n",
        "21d",
        "9" * 400,
    ],
)
def test_what_is_no_duration(text):
    with pytest.raises(UsageError):
        units.parse_duration(text)


@pytest.mark.parametrize(
    "text, size",
    [
        ("10MB", 10000000),
        ("10MiB", 10485760),
        ("1GB", 10**9),
        ("2kB", 2000),
        ("12", 12),
        ("12B", 12),
        ("1.5KiB", 1536),
        ("10 mb", 10000000),
    ],
)
def test_sizes(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1M", "1iB", "1 0", "5\n", "1e3"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError):
        units.parse_size(text)


def test_reading_no_file_imports_nothing_heavy():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ssm_plugin import config\n"
        "config.load(environ={'HOME': '/nowhere'})\n"
        "print(sorted({'yaml', 'difflib', 'logging', 'ssl', 'json'} & set(sys.modules)))\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(config.__file__)))
    command = [sys.executable, "-I", "-S", "-c", script, root]
    assert subprocess.check_output(command, timeout=40).strip() == b"[]"


def test_a_target_may_have_a_speed_of_its_own(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("speed: auto\ntargets: {web: i-1, db: {id: i-2, speed: fast}}\n")
    settings = config.load(str(path), {})
    assert [settings.speed_for(name) for name in ("web", "db", "i-9")] == ["auto", "fast", "auto"]
    assert settings.targets == {"web": "i-1", "db": "i-2"}


@pytest.mark.parametrize(
    "text, told",
    [
        ("speed: quick\n", "not one of plain, auto, fast"),
        ("targets: {db: {speed: fast}}\n", "a target needs an id"),
        ("targets: {db: {id: i-1, spede: fast}}\n", "speed"),
    ],
)
def test_a_speed_that_is_none_is_refused(tmp_path, text, told):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        config.load(str(path), {})
