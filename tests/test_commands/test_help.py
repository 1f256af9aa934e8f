"""Help with more than one command: it says what the program itself reads by."""

import os
import re
import shutil
import subprocess

import pytest

import ssm_plugin
from ssm_plugin.commands import help_config, help_topics, manual
from ssm_plugin.commands.program import COMMANDS
from ssm_plugin.config import VARIABLES, NetworkSettings
from tests.support.commands import Cli

ROOT = os.path.dirname(ssm_plugin.__file__)


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


def lines(cli, *words):
    status, stdout, stderr = cli.run(*words)
    assert (status, stderr) == (0, b"")
    return stdout.decode("utf-8").splitlines()


def test_each_key_has_its_type_its_default_and_its_variable(cli):
    found = [re.split(r"  +", line) for line in lines(cli, "help", "config")]
    assert ["network.connect_timeout", "a duration", "20s", "-"] in found
    assert ["log.max_bytes", "a size", "10MB", "-"] in found
    assert ["quiet", "true or false", "false", "SSM_PLUGIN_QUIET"] in found
    assert ["network.proxy", "text", "-", "[HTTPS_PROXY]"] in found
    assert ["targets.NAME", "text, or {id, speed}", "-", "-"] in found
    assert ["jobs.NAME.environment.NAME", "text", "-", "-"] in found


def test_help_says_how_to_have_no_configuration_file(cli):
    assert "/dev/null stands for no file" in " ".join(lines(cli, "help", "config"))


def test_no_key_is_forgotten():
    names = [key.name for key in help_config.keys()]
    assert set(VARIABLES) <= set(names)
    assert set(help_config.FALLBACKS) <= set(names)
    for field in NetworkSettings._fields:
        assert "network." + field in names


def test_a_default_of_the_help_is_one_that_the_file_takes(cli):
    known = [key for key in help_config.keys() if key.default != "-" and "NAME" not in key.name]
    assert len(known) > 5
    sections = {}
    for key in known:
        section, _, name = key.name.rpartition(".")
        sections.setdefault(section, []).append("%s: %s\n" % (name, key.default))
    text = "".join(sections.pop("", []))
    for section, rows in sections.items():
        text += "%s:\n  %s" % (section, "  ".join(rows))
    cli.configure(text)
    status, _, errors = cli.run("run", "--check")
    assert (status, errors) == (0, b"")


def test_each_variable_of_ours_is_told_of():
    names = set()
    for folder, _, files in os.walk(ROOT):
        for file in files:
            if file.endswith(".py"):
                with open(os.path.join(folder, file), encoding="utf-8") as source:
                    text = source.read()
                names.update(re.findall(r'"((?:SSM_PLUGIN|XDG)_[A-Z_]+)"', text))
                names.update(re.findall(r'environ\.get\("([A-Z0-9]+_[A-Z0-9_]*[A-Z0-9])"', text))
    assert names - told() == set()
    assert "SSM_PLUGIN_EXIT_STATUS" in names


def test_each_variable_of_credentials_and_endpoints_is_told_of():
    names = {"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"}
    folder = os.path.join(ROOT, "aws")
    for file in os.listdir(folder):
        if file.endswith(".py"):
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                names.update(re.findall(r'"(AWS_[A-Z0-9_]+)"', source.read()))
    assert names - told() == set()
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in names
    assert "AWS_ENDPOINT_URL_KMS" in told()


def told():
    """The names in either column."""
    return set(re.findall(r"[A-Z0-9]+_[A-Z0-9_]+", help_topics.environment_help()))


@pytest.mark.parametrize("topic", ["exit-status", "environment"])
def test_a_table_fits_a_terminal(cli, topic):
    text = lines(cli, "help", topic)
    assert len(text) > 8
    assert max(map(len, text)) <= 80


def test_exit_statuses_are_those_of_the_readme(cli):
    text = "\n".join(lines(cli, "help", "exit-status"))
    for status in ("0", "n", "124", "128+n", "255"):
        assert re.search(r"^  %s +\w" % re.escape(status), text, re.MULTILINE)
    for command in ("doctor", "cp", "connect"):  # whose help says more of theirs
        assert re.search(r"\b%s: " % command, text)


def test_help_with_a_command_is_that_of_its_own(cli):
    assert lines(cli, "help", "exec") == lines(cli, "exec", "--help")
    assert lines(cli, "help") == lines(cli, "--help")


def test_help_is_there_where_the_configuration_is_wrong(cli):
    cli.configure("network: [")
    assert lines(cli, "help", "config")[0].startswith("The configuration is")


def test_what_there_is_no_help_with_is_answered_with_the_nearest(cli):
    status, _, stderr = cli.run("help", "confg")
    assert status == 255
    assert stderr == b"ssm-plugin: there is no help with 'confg'; did you mean 'config'?\n"


def test_the_manual_page_has_all_commands_and_keys(cli):
    page = "\n".join(lines(cli, "help", "--man"))
    for name in COMMANDS:
        assert ".SH ssm\\-plugin %s\n" % manual.escaped(name) in page
    for key in help_config.keys():
        assert ".B %s\n" % manual.escaped(key.name) in page


@pytest.mark.may_skip
@pytest.mark.skipif(not shutil.which("man"), reason="there is no man")
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_man_shows_the_page_without_a_warning(cli, tmp_path, locale):
    path = tmp_path / "ssm-plugin.1"
    path.write_bytes(cli.run("help", "--man")[1])
    environ = dict(os.environ, LC_ALL=locale, MANWIDTH="80", MANPAGER="cat")
    done = subprocess.run(
        ["man", "-l", "--warnings=w", str(path)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=40,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = re.sub(".\b", "", done.stdout.decode("utf-8"))
    assert "--targets-file FILE" in text
    assert "~. ends the session" in re.sub(r"\s+", " ", text)
    assert "echo 'uptime; exit' | ssm-plugin shell web1" in text
