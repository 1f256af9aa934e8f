from ssm_plugin.session.types import ClientConfig, SessionConfig, SessionStatus, SessionType

CONFIG = SessionConfig("s-1", "wss://host/", "the-token", "i-1", "doc", {"command": ["ls"]})


def test_the_session_types_are_the_agents_words():
    assert {kind.name: kind.value for kind in SessionType} == {
        "STANDARD_STREAM": "Standard_Stream",
        "PORT": "Port",
        "INTERACTIVE_COMMANDS": "InteractiveCommands",
        "NON_INTERACTIVE_COMMANDS": "NonInteractiveCommands",
    }


def test_a_status_says_what_it_is():
    assert [status.value for status in SessionStatus] == [
        "Created",
        "Connecting",
        "Connected",
        "Resuming",
        "Terminating",
        "Terminated",
        "Failed",
    ]


def test_the_token_is_in_no_text_made_of_a_configuration():
    for text in (repr(CONFIG), str(CONFIG), "{}".format(CONFIG), "%r" % (CONFIG,), repr([CONFIG])):
        assert "the-token" not in text
        assert "s-1" in text
    assert CONFIG.token_value == "the-token"


def test_only_identity_url_and_token_are_needed():
    config = SessionConfig("s-1", "wss://host/", "t")
    assert (config.target, config.document_name, config.parameters) == (None, None, {})
    client = ClientConfig("c-1", SessionType.PORT)
    assert client.input_stream_message_handler is None
    assert client.output_stream_message_handler is None
