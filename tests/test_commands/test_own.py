"""Our own command line: help, options, mistakes."""

import argparse
import sys

import pytest

from ssm_plugin.commands import own
from ssm_plugin.commands.faces import COMMANDS, choose
from ssm_plugin.errors import ConfigurationError, UsageError
from tests.support.drop_in import DropIn

OURS = [sys.executable, "-m", "ssm_plugin"]


def settings(arguments, environ):
    parser = own.Parser()
    own.add_common_options(parser)
    return own.settings_from(parser.parse_args(arguments), environ)


def test_help_names_every_command_with_what_it_does():
    text = own.help_text()
    for name, purpose in COMMANDS.items():
        assert "  %-9s %s\n" % (name, purpose) in text


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_is_the_answer_to_no_command(tmp_path, arguments):
    done = DropIn(tmp_path).call(OURS + arguments)
    assert (done.status, done.stderr) == (0, b"")
    assert done.stdout.decode() == own.help_text()


@pytest.mark.parametrize("name", ["shell", "demo"])
def test_help_of_a_command_shows_its_options_and_an_example(tmp_path, name):
    done = DropIn(tmp_path).call(OURS + [name, "--help"])
    assert (done.status, done.stderr) == (0, b"")
    for part in (b"usage: ssm-plugin " + name.encode(), b"--endpoint-url", b"examples:\n"):
        assert part in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["shel"], "there is no command 'shel'"),
        (["shell"], "arguments are required: TARGET; see 'ssm-plugin shell --help'"),
        (["shell", "i-1", "--regoin", "x"], "unrecognized arguments: --regoin x"),
        (["shell", "i-1", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["shell", "i-1", "--parameter", "x"], "--parameter 'x' is not NAME=VALUE"),
    ],
)
def test_mistakes_are_one_line_and_status_255(tmp_path, arguments, said):
    done = DropIn(tmp_path).call(OURS + arguments)
    assert (done.status, done.stdout) == (255, b"")
    assert done.stderr.decode().startswith("ssm-plugin: ")
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_command_line_comes_before_environment_before_file(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("defaults: {region: from-file-1, profile: file}\nquiet: false\n")
    environ = {"SSM_PLUGIN_CONFIG": str(file), "HOME": str(tmp_path)}
    assert settings([], environ).region == "from-file-1"
    environ["AWS_REGION"] = "from-environ-1"
    assert settings([], environ).region == "from-environ-1"
    chosen = settings(["--region", "from-line-1", "--quiet", "--document-name", "D"], environ)
    assert (chosen.region, chosen.quiet, chosen.document_name) == ("from-line-1", True, "D")
    assert chosen.profile == "file"


def test_a_configuration_that_was_named_must_be_there(tmp_path):
    with pytest.raises(ConfigurationError):
        settings(["--config", str(tmp_path / "missing")], {"HOME": str(tmp_path)})


def test_log_options_reach_the_log_settings(tmp_path):
    chosen = settings(["--log-level", "debug", "--log-file", "f"], {"HOME": str(tmp_path)})
    assert (chosen.log.level, chosen.log.file) == ("debug", "f")


def test_the_parser_raises_what_it_has_to_say():
    with pytest.raises(UsageError) as caught:
        own.Parser(prog="x").parse_args(["--no-such"])
    assert str(caught.value) == "unrecognized arguments: --no-such; see 'x --help'"
    assert isinstance(own.Parser(), argparse.ArgumentParser)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_ours_under_both_names(name):
    assert choose([name, "x"], True) == choose([name, "x"], False) == "own"


def test_anything_else_is_a_mistake_of_the_face_that_was_called():
    assert choose(["x"], True) == "dropin"
    assert choose(["x"], False) == "own"
    assert choose(['{"SessionId": 1}', "r", "StartSession"], False) == "dropin"
