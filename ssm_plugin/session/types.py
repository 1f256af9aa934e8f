"""What a session is made of: its type, its status, its configuration."""

import enum
from typing import Any, Callable, Mapping, NamedTuple, Optional


class SessionType(enum.Enum):
    """As the agent's handshake names them."""

    STANDARD_STREAM = "Standard_Stream"
    PORT = "Port"
    INTERACTIVE_COMMANDS = "InteractiveCommands"
    NON_INTERACTIVE_COMMANDS = "NonInteractiveCommands"


class SessionStatus(enum.Enum):
    """``state.py`` says which follows which."""

    CREATED = "Created"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    RESUMING = "Resuming"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"
    FAILED = "Failed"


class SessionConfig(NamedTuple):
    """What StartSession returned, and what it was asked. ``repr`` hides the token."""

    session_id: str
    stream_url: str
    token_value: str
    target: Optional[str] = None
    document_name: Optional[str] = None
    parameters: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return "SessionConfig(session_id=%r, stream_url=%r, target=%r, document_name=%r)" % (
            self.session_id,
            self.stream_url,
            self.target,
            self.document_name,
        )


InputHandler = Callable[[], bytes]
OutputHandler = Callable[[bytes], None]


class ClientConfig(NamedTuple):
    """Who we are, and what is expected. The agent's handshake decides the session type.

    For those who embed us: ``input_stream_message_handler`` is called for input in place of
    reading standard input, in a thread of its own; it blocks until there is some, and returns
    ``b""`` at the end. ``output_stream_message_handler`` is called with each piece of output, in
    place of writing it to standard output, in the thread that runs the session.
    """

    client_id: str
    session_type: SessionType
    input_stream_message_handler: Optional[InputHandler] = None
    output_stream_message_handler: Optional[OutputHandler] = None
