"""The client's side of the handshake: requested actions in, processed actions out.

The phases, as a table. What is not in it is answered as :data:`IGNORED` says, or is an error and
changes nothing::

    WAITING      --request-->    NEGOTIATING    the agent names type and encryption
    WAITING      --output-->     OPEN           no handshake: the usual case for shells
    NEGOTIATING  --challenge-->  NEGOTIATING    proves both hold the same key
    NEGOTIATING  --complete-->   OPEN
"""

import base64
import enum
from typing import Collection, Dict, List, Optional, Tuple, Union

from ..errors import EncryptionError, HandshakeError
from ..named_tuple import NamedTuple
from ..version import PROTOCOL_VERSION
from ..wire import payloads
from ..wire.message import Buffer, Role
from .cipher import Cipher
from .events import KeyRequested, Started


class Phase(enum.Enum):
    WAITING = "waiting"
    NEGOTIATING = "negotiating"
    OPEN = "open"


TRANSITIONS: Dict[Tuple[Phase, int], Phase] = {
    (Phase.WAITING, payloads.HANDSHAKE_REQUEST): Phase.NEGOTIATING,
    (Phase.WAITING, payloads.OUTPUT): Phase.OPEN,
    (Phase.NEGOTIATING, payloads.ENCRYPTION_CHALLENGE_REQUEST): Phase.NEGOTIATING,
    (Phase.NEGOTIATING, payloads.HANDSHAKE_COMPLETE): Phase.OPEN,
}

# An open session stays as it was agreed: a late or repeated step is dropped, as AWS's client does.
IGNORED = frozenset(
    (Phase.OPEN, step)
    for step in (
        payloads.HANDSHAKE_REQUEST,
        payloads.ENCRYPTION_CHALLENGE_REQUEST,
        payloads.HANDSHAKE_COMPLETE,
    )
)

STEPS = frozenset(step for _, step in TRANSITIONS) - {payloads.OUTPUT}


class Reply(NamedTuple):
    """What a step asks for: messages to send, and events to tell, in this order."""

    messages: Tuple[Tuple[int, bytes], ...] = ()
    events: Tuple[Union[KeyRequested, Started], ...] = ()


class ClientHandshake:
    """``supported`` holds the session types that this client can run."""

    def __init__(self, supported: Collection[str]) -> None:
        self.phase = Phase.WAITING
        self.cipher: Optional[Cipher] = None
        self._supported = supported
        self._processed: List[payloads.ProcessedAction] = []
        self._session_type = ""
        self._properties: Dict[str, object] = {}
        self._agent_version = ""
        self._key_action: Optional[KeyRequested] = None

    def step(self, payload_type: int, payload: Buffer) -> Reply:
        """Take one handshake message, or the first output."""
        if (self.phase, payload_type) in IGNORED:
            return Reply()
        following = TRANSITIONS.get((self.phase, payload_type))
        if following is None:
            raise HandshakeError(
                "the agent sent payload type %d while the handshake was %s"
                % (payload_type, self.phase.value)
            )
        reply = self._reply(payload_type, payload)
        self.phase = following
        return reply

    def provide_key(self, data_key: bytes, ciphertext: str) -> Reply:
        """Answer the agent with the data key that was asked for: 64 bytes, and its sealed form."""
        assert self._key_action is not None
        self.cipher = Cipher(data_key, Role.CLIENT)
        result = {
            "KMSCipherTextKey": ciphertext,
            "KMSCipherTextHash": None,
            "ChallengeAcknowledgement": bool(self._key_action.challenge),
        }
        return self._respond(
            payloads.ProcessedAction(payloads.KMS_ENCRYPTION_ACTION, payloads.SUCCESS, result)
        )

    def refuse_key(self, reason: str) -> Reply:
        """Tell the agent that there is no key; it then ends the session."""
        return self._respond(
            payloads.ProcessedAction(
                payloads.KMS_ENCRYPTION_ACTION, payloads.FAILED, None, reason
            )
        )

    def _reply(self, payload_type: int, payload: Buffer) -> Reply:
        if payload_type == payloads.HANDSHAKE_REQUEST:
            return self._requested(payloads.parse_handshake_request(payload))
        if payload_type == payloads.ENCRYPTION_CHALLENGE_REQUEST:
            return self._challenged(payloads.parse_challenge(payload))
        if payload_type == payloads.HANDSHAKE_COMPLETE:
            return self._completed(payloads.parse_handshake_complete(payload))
        return self._started("")

    def _requested(self, request: payloads.HandshakeRequest) -> Reply:
        self._agent_version = request.agent_version
        for action in request.actions:
            if action.action_type == payloads.SESSION_TYPE_ACTION:
                self._processed.append(self._choose_type(action))
            elif action.action_type == payloads.KMS_ENCRYPTION_ACTION:
                self._key_action = KeyRequested(
                    _text(action, "KMSKeyId"),
                    _text(action, "Challenge"),
                )
            else:
                self._processed.append(
                    payloads.ProcessedAction(
                        action.action_type, payloads.UNSUPPORTED, None, "Unsupported action"
                    )
                )
        if self._key_action:
            return Reply(events=(self._key_action,))
        return self._respond()

    def _choose_type(self, action: payloads.RequestedAction) -> payloads.ProcessedAction:
        self._session_type = _text(action, "SessionType")
        properties = action.parameters.get("Properties")
        self._properties = properties if isinstance(properties, dict) else {}
        if self._session_type in self._supported:
            return payloads.ProcessedAction(action.action_type, payloads.SUCCESS)
        return payloads.ProcessedAction(
            action.action_type,
            payloads.FAILED,
            None,
            "Unknown session type %s" % self._session_type,
        )

    def _respond(self, *more: payloads.ProcessedAction) -> Reply:
        actions = tuple(self._processed) + more
        failures = tuple(action.error for action in actions if action.error)
        response = payloads.HandshakeResponse(PROTOCOL_VERSION, actions, failures)
        return Reply(
            ((payloads.HANDSHAKE_RESPONSE, payloads.build_handshake_response(response)),)
        )

    def _challenged(self, challenge: str) -> Reply:
        if self.cipher is None:
            raise EncryptionError("the agent sent an encryption challenge before any key")
        try:
            sealed = base64.b64decode(challenge, validate=True)
        except ValueError as error:
            raise EncryptionError("the agent's encryption challenge is not base64") from error
        answer = self.cipher.seal(self.cipher.open(sealed))
        text = base64.b64encode(answer).decode("ascii")
        return Reply(
            ((payloads.ENCRYPTION_CHALLENGE_RESPONSE, payloads.build_challenge(text)),)
        )

    def _completed(self, complete: payloads.HandshakeComplete) -> Reply:
        if self._session_type and self._session_type not in self._supported:
            raise HandshakeError(
                "the agent went on with session type %s, which is not known here"
                % self._session_type
            )
        if self._key_action and self.cipher is None:
            raise HandshakeError("the agent went on without the encryption that it had asked for")
        return self._started(complete.customer_message)

    def _started(self, customer_message: str) -> Reply:
        return Reply(
            events=(
                Started(
                    self._session_type,
                    self._properties,
                    self._agent_version,
                    customer_message,
                    self.cipher is not None,
                ),
            )
        )


_KNOWN = {"SessionType": "a session type", "KMSKeyId": "encryption", "Challenge": "encryption"}


def _text(action: payloads.RequestedAction, name: str) -> str:
    value = action.parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise HandshakeError("the agent asked for %s with no text as %s" % (_KNOWN[name], name))
    return value or ""
