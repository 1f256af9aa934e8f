import pytest

from ssm_plugin.errors import UsageError
from ssm_plugin.loopback.agent_documents import (
    DOCUMENTS,
    INTERACTIVE,
    NON_INTERACTIVE,
    STANDARD_STREAM,
    Document,
    assign,
)
from ssm_plugin.loopback.gateway_session import StartRequest


def assignment(name, **parameters):
    lists = {key: [value] for key, value in parameters.items()}
    return assign(StartRequest("i-1", name, lists, ""), DOCUMENTS)


@pytest.mark.parametrize("name", ["", "SSM-SessionManagerRunShell"])
def test_a_shell_needs_no_handshake(name):
    assert assignment(name) == (STANDARD_STREAM, None, (), False, "")
    assert not assignment(name).wants_handshake


def test_an_interactive_command_is_run_by_a_shell():
    found = assignment("AWS-StartInteractiveCommand", command="a && b")
    assert found == (INTERACTIVE, None, ("sh", "-c", "a && b"), False, "")
    assert not found.wants_handshake


def test_any_other_command_is_split_into_words():
    found = assignment("AWS-StartNonInteractiveCommand", command="a 'b c' && d")
    assert found == (NON_INTERACTIVE, None, ("a", "b c", "&&", "d"), False, "")
    assert found.wants_handshake


@pytest.mark.parametrize("value, separate", [("true", True), ("True", True), ("false", False)])
def test_a_parameter_asks_for_separate_output(value, separate):
    found = assignment(
        "AWS-StartNonInteractiveCommand", command="a", separateOutputStream=value
    )
    assert found.separate_output is separate


@pytest.mark.parametrize("separate", [True, False])
def test_a_document_may_have_decided_that(separate):
    documents = {"Own": Document(NON_INTERACTIVE, separate_output=separate)}
    request = StartRequest("i-1", "Own", {"command": ["a"]}, "")
    assert assign(request, documents).separate_output is separate


@pytest.mark.parametrize("line", ["", "  "])
@pytest.mark.parametrize("name", ["AWS-StartInteractiveCommand", "AWS-StartNonInteractiveCommand"])
def test_a_command_that_is_none_is_an_error(name, line):
    with pytest.raises(UsageError):
        assignment(name, command=line)


def test_a_line_that_cannot_be_split_is_found_out_by_the_agent():
    found = assignment("AWS-StartNonInteractiveCommand", command="echo 'a")
    assert found.argv == ()
    assert found.mistake.startswith("Unable to start command: Failed to parse commands input")


def test_an_unknown_document_is_an_error():
    with pytest.raises(UsageError, match="Own does not exist"):
        assignment("Own")


@pytest.mark.parametrize(
    "name, parameters, properties",
    [
        ("AWS-StartSSHSession", {}, {"portNumber": "22"}),
        ("AWS-StartSSHSession", {"portNumber": "2222"}, {"portNumber": "2222"}),
        (
            "AWS-StartPortForwardingSession",
            {"portNumber": "80", "localPortNumber": "8080"},
            {"portNumber": "80", "localPortNumber": "8080", "type": "LocalPortForwarding"},
        ),
        (
            "AWS-StartPortForwardingSessionToRemoteHost",
            {"portNumber": "80", "host": "db"},
            {"portNumber": "80", "host": "db", "type": "LocalPortForwarding"},
        ),
        (
            "AWS-StartPortForwardingSessionToSocket",
            {"portNumber": "80", "localUnixSocket": "/tmp/s", "other": "x"},
            {
                "portNumber": "80",
                "localUnixSocket": "/tmp/s",
                "localConnectionType": "unix",
                "type": "LocalPortForwarding",
            },
        ),
    ],
)
def test_the_parameters_of_a_port_become_its_properties(name, parameters, properties):
    found = assignment(name, **parameters)
    assert found == ("Port", properties, (), False, "")
    assert found.wants_handshake
