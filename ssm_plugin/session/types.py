"""What a session is made of: its type, its status, its configuration."""

import enum
from typing import Any, Callable, Mapping, Optional

from ..named_tuple import NamedTuple
from ..wire.message import random_id


class SessionType(str, enum.Enum):
    """As the agent's handshake names them. A type equals its text."""

    STANDARD_STREAM = "Standard_Stream"
    PORT = "Port"
    INTERACTIVE_COMMANDS = "InteractiveCommands"
    NON_INTERACTIVE_COMMANDS = "NonInteractiveCommands"


class SessionStatus(enum.Enum):
    """``lifecycle.py`` says which follows which."""

    CREATED = "Created"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    RESUMING = "Resuming"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"
    FAILED = "Failed"


class _SessionConfig(NamedTuple):
    session_id: str
    stream_url: str
    token_value: str
    target: Optional[str]
    document_name: Optional[str]
    parameters: Mapping[str, Any]


class SessionConfig(_SessionConfig):
    """What StartSession returned, and what it was asked. ``repr`` hides the token.

    Attributes:
        session_id, stream_url, token_value: the answer of StartSession
        target: the node; KMS wants it for an encrypted session
        document_name: the session document; None is the account's default, a shell
        parameters: those of the document; empty if none were given
    """

    __slots__ = ()

    def __new__(
        cls,
        session_id: str,
        stream_url: str,
        token_value: str,
        target: Optional[str] = None,
        document_name: Optional[str] = None,
        parameters: Optional[Mapping[str, Any]] = None,
    ) -> "SessionConfig":
        return super().__new__(
            cls,
            session_id,
            stream_url,
            token_value,
            target,
            document_name,
            {} if parameters is None else parameters,
        )

    def __repr__(self) -> str:
        return "SessionConfig(session_id=%r, stream_url=%r, target=%r, document_name=%r)" % (
            self.session_id,
            self.stream_url,
            self.target,
            self.document_name,
        )


InputHandler = Callable[[], Optional[bytes]]
OutputHandler = Callable[[bytes], object]


class _ClientConfig(NamedTuple):
    client_id: str
    session_type: SessionType
    input_stream_message_handler: Optional[InputHandler]
    output_stream_message_handler: Optional[OutputHandler]


class ClientConfig(_ClientConfig):
    """Who we are, and what is expected. The agent's handshake decides the session type.

    Attributes:
        client_id: a UUID; an empty one is replaced by a fresh one
        session_type: what was asked for
        input_stream_message_handler: called for input in place of reading standard input, in a
            thread of its own; blocks until there is some, and returns ``b""`` at the end
        output_stream_message_handler: called with each piece of output in place of writing it to
            standard output, in the session's thread
    """

    __slots__ = ()

    def __new__(
        cls,
        client_id: str,
        session_type: SessionType,
        input_stream_message_handler: Optional[InputHandler] = None,
        output_stream_message_handler: Optional[OutputHandler] = None,
    ) -> "ClientConfig":
        return super().__new__(
            cls,
            client_id or random_id(),
            SessionType(session_type),
            input_stream_message_handler,
            output_stream_message_handler,
        )
