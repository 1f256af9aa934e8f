"""Our own command line: help, options, mistakes."""

import argparse
import sys

import pytest

from ssm_plugin.commands import command_line
from ssm_plugin.commands.program import COMMANDS, choose
from ssm_plugin.errors import ConfigurationError, UsageError
from tests.support.drop_in import DropIn

OURS = [sys.executable, "-m", "ssm_plugin"]


def settings(arguments, environ):
    parser = command_line.Parser()
    command_line.add_common_options(parser)
    return command_line.settings_from(parser.parse_args(arguments), environ)


def test_help_names_every_command_with_what_it_does():
    text = command_line.help_text()
    for name, purpose in COMMANDS.items():
        assert "  %-10s %s\n" % (name, purpose) in text


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_is_the_answer_to_no_command(tmp_path, arguments):
    done = DropIn(tmp_path).call(OURS + arguments)
    assert (done.status, done.stderr) == (0, b"")
    assert done.stdout.decode() == command_line.help_text()


@pytest.mark.parametrize("columns", [None, "200"])
@pytest.mark.parametrize("name", ["", "demo exec", "demo serve"] + sorted(COMMANDS))
def test_help_fits_80_columns(tmp_path, name, columns):
    drop_in = DropIn(tmp_path)
    environ = dict(drop_in.environ, **({"COLUMNS": columns} if columns else {}))
    done = drop_in.call(OURS + name.split() + ["--help"], environ=environ)
    assert (done.status, done.stderr) == (0, b"")
    assert [line for line in done.stdout.decode().splitlines() if len(line) > 80] == []


def test_paragraphs_are_filled_and_indented_lines_stay():
    text = "one two three\nfour five\n\nsix\n  a   line  that stays\nseven\n"
    assert command_line.filled(text, 12) == (
        "one two\nthree four\nfive\n\nsix\n  a   line  that stays\nseven\n"
    )


@pytest.mark.parametrize("name", ["shell", "demo"])
def test_help_of_a_command_shows_its_options_and_an_example(tmp_path, name):
    done = DropIn(tmp_path).call(OURS + [name, "--help"])
    assert (done.status, done.stderr) == (0, b"")
    for part in (b"usage: ssm-plugin " + name.encode(), b"--endpoint-url", b"examples:\n"):
        assert part in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["shel"], "there is no command 'shel'; did you mean 'shell'?"),
        (["Shell"], "there is no command 'Shell'; did you mean 'shell'?"),
        (["config"], "there is no command 'config'; did you mean 'ssm-plugin help config'?"),
        (["jobs"], "there is no command 'jobs'; did you mean 'ssm-plugin run --list'?"),
        (["completion", "bash", "x"], "unrecognized arguments: x; see 'ssm-plugin completion"),
        (["xyzzy"], "there is no command 'xyzzy'; see 'ssm-plugin --help'"),
        (["i-0123456789abcdef0"], "did you mean 'ssm-plugin shell i-0123456789abcdef0'?"),
        (["mi-1", "-x"], "did you mean 'ssm-plugin shell mi-1'?"),
        (["ecs:a_b_c"], "did you mean 'ssm-plugin shell ecs:a_b_c'?"),
        (["--reigon", "x", "shell"], "no option '--reigon'; did you mean '--region'?"),
        (["--timeout", "5m", "exec", "i-1"], "after it: ssm-plugin exec ... --timeout ..."),
        (["--timeout=5m", "exec", "i-1"], "after it: ssm-plugin exec ... --timeout ..."),
        (["-x"], "no option '-x'; the options of a command stand after it"),
        (["--version", "shell"], "--version stands alone"),
        (["-V", "x"], "-V stands alone"),
        (["--region", "eu-west-1"], "there is no command after the options"),
        (["--region"], "argument --region: expected one argument; see 'ssm-plugin --help'"),
        (["--region", "x", "--quiet", "shel"], "there is no command 'shel'; did you mean"),
        (["shell"], "arguments are required: TARGET; see 'ssm-plugin shell --help'"),
        (["connect"], "are required: [USER@]TARGET; see 'ssm-plugin connect --help'"),
        (["completion"], "are required: SHELL; see 'ssm-plugin completion --help'"),
        (["shell", "i-1", "--regoin", "x"], "arguments: --regoin x; did you mean '--region'?"),
        (["shell", "i-1", "--regoin=x"], "did you mean '--region'?"),
        (["exec", "i-1", "--timout", "5m", "--", "x"], "did you mean '--timeout'?"),
        (["shell", "i-1", "--zzz"], "arguments: --zzz; see 'ssm-plugin shell --help'"),
        (["exec", "i-1", "--env", "A=b", "x"], "--env; see 'ssm-plugin exec --help'"),
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


@pytest.mark.parametrize(
    "before",
    [
        ["--endpoint-url", "http://127.0.0.1:1", "--region", "eu-west-1"],
        ["--endpoint-url=http://127.0.0.1:1", "--quiet", "--region=eu-west-1"],
    ],
)
@pytest.mark.parametrize("command", [["shell", "i-1"], ["exec", "i-1", "--", "true"]])
def test_options_of_all_commands_may_come_before_the_command(tmp_path, before, command):
    drop_in = DropIn(tmp_path)
    done = drop_in.call(OURS + before + command)
    assert (done.status, done.stdout) == (255, b"")
    assert b"127.0.0.1:1" in done.stderr and done.stderr.count(b"\n") == 1
    assert drop_in.call(drop_in.program + before + command) == done


def test_help_may_be_asked_for_after_options(tmp_path):
    done = DropIn(tmp_path).call(OURS + ["--region", "eu-west-1", "--help"])
    assert (done.status, done.stdout.decode()) == (0, command_line.help_text())


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
        command_line.Parser(prog="x").parse_args(["--no-such"])
    assert str(caught.value) == "unrecognized arguments: --no-such; see 'x --help'"
    assert isinstance(command_line.Parser(), argparse.ArgumentParser)


@pytest.mark.parametrize(
    "command, words, expected",
    [
        ("ssh", "web --push-key me 2222 --quiet", dict(target="web", port="2222", quiet=True)),
        ("ssh", "--push-key 22 web --key 22 22", dict(push_key="22", key="22", port="22")),
        ("forward", "web 0:80 --json 0:81 0:82", dict(forwards=["0:80", "0:81", "0:82"])),
    ],
)
def test_options_may_stand_between_the_words(command, words, expected):
    _, parser = command_line.parser_of(command)
    assert expected.items() <= vars(parser.parse_args(words.split())).items()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_ours_under_both_names(name):
    assert choose([name, "x"], True) == choose([name, "x"], False) == "command_line"


def test_anything_else_is_a_mistake_of_the_face_that_was_called():
    assert choose(["x"], True) == "dropin"
    assert choose(["x"], False) == "command_line"
    assert choose(['{"SessionId": 1}', "r", "StartSession"], False) == "dropin"
