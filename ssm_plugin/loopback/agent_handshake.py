"""The agent's side of the handshake: pure, but for a key that is decrypted by somebody else."""

import base64
import os
from typing import Callable, List, Mapping, Optional, Tuple

from ..channel.cipher import Cipher
from ..errors import EncryptionError, HandshakeError, MessageError
from ..named_tuple import NamedTuple
from ..version import newer_than
from ..wire import payloads
from ..wire.message import Role
from .agent_documents import Assignment

# ``decrypt(ciphertext, encryption_context)``: base64 text to the 64 bytes of the data key. What it
# raises as an SsmPluginError ends the session.
Decrypt = Callable[[str, Mapping[str, str]], bytes]

ENCRYPTED = "This session is encrypted using AWS KMS."

# Clients up to this version do not know errors apart from output, and are told so.
_OLD_CLIENT = "1.2.295.999999999"
_PLEASE_UPDATE = (
    "Please update session manager plugin version (minimum required version 1.2.312.0) for fully "
    "support of separate StdOut/StdErr output.\r\n"
)

_CHALLENGE_LENGTH = 64

Messages = List[Tuple[int, bytes]]


class Encryption(NamedTuple):
    """How a session is encrypted. ``challenge``: whether to send a random challenge for the
    encryption context; ``require_challenge``: whether a client that leaves it out is refused."""

    key_id: str
    decrypt: Decrypt
    challenge: bool = True
    require_challenge: bool = False


class AgentHandshake:
    """:meth:`request` first, then each message of the client to :meth:`step`, until ``done``.

    ``client_version`` is what the client claims to be. Errors are what fails the session.
    """

    def __init__(
        self,
        assignment: Assignment,
        agent_version: str,
        session_id: str,
        target: str,
        encryption: Optional[Encryption] = None,
    ) -> None:
        self.done = False
        self.cipher: Optional[Cipher] = None
        self.client_version = ""
        self._assignment = assignment
        self._agent_version = agent_version
        self._context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": target}
        self._encryption = encryption
        self._challenge = ""
        self._secret = b""
        if encryption and encryption.challenge:
            self._challenge = base64.b64encode(os.urandom(16)).decode("ascii")

    def request(self) -> Messages:
        actions = [
            payloads.RequestedAction(
                payloads.SESSION_TYPE_ACTION,
                {
                    "SessionType": self._assignment.session_type,
                    "Properties": self._assignment.properties,
                },
            )
        ]
        if self._encryption:
            parameters = {"KMSKeyId": self._encryption.key_id}
            if self._challenge:
                parameters["Challenge"] = self._challenge
            actions.append(payloads.RequestedAction(payloads.KMS_ENCRYPTION_ACTION, parameters))
        request = payloads.HandshakeRequest(self._agent_version, tuple(actions))
        return [(payloads.HANDSHAKE_REQUEST, payloads.build_handshake_request(request))]

    def step(self, payload_type: int, data: bytes, elapsed: float) -> Messages:
        """What to answer. Anything out of turn is ignored. ``elapsed``: s since the request."""
        try:
            if payload_type == payloads.HANDSHAKE_RESPONSE and not self.client_version:
                self._responded(payloads.parse_handshake_response(data))
                return self._challenge_or_complete(elapsed)
            if payload_type == payloads.ENCRYPTION_CHALLENGE_RESPONSE and self._secret:
                self._proved(payloads.parse_challenge(data))
                return self._complete(ENCRYPTED, elapsed)
        except MessageError as error:
            raise HandshakeError("the client's answer cannot be read: %s" % error) from error
        return []

    def _responded(self, response: payloads.HandshakeResponse) -> None:
        self.client_version = response.client_version or "unknown"
        processed = {action.action_type: action for action in response.actions}
        self._result(processed, payloads.SESSION_TYPE_ACTION)
        if self._encryption:
            result = self._result(processed, payloads.KMS_ENCRYPTION_ACTION)
            self._agree_on_key(self._encryption, result)

    def _result(
        self, processed: Mapping[str, payloads.ProcessedAction], name: str
    ) -> Mapping[str, object]:
        action = processed.get(name)
        if action is None:
            raise HandshakeError("the client did not process the action %s" % name)
        if action.status != payloads.SUCCESS:
            verdict = {payloads.FAILED: "failed", payloads.UNSUPPORTED: "is unsupported"}
            raise HandshakeError(
                "%s %s at the client: %s"
                % (name, verdict.get(action.status, "has an unknown status"), action.error)
            )
        return action.result if isinstance(action.result, dict) else {}

    def _agree_on_key(self, encryption: Encryption, result: Mapping[str, object]) -> None:
        context = dict(self._context)
        if self._challenge and result.get("ChallengeAcknowledgement") is True:
            context["aws:ssm:RandomChallenge"] = self._challenge
        elif self._challenge and encryption.require_challenge:
            raise HandshakeError(
                "client does not support required encryption context random challenge"
            )
        ciphertext = result.get("KMSCipherTextKey")
        if not isinstance(ciphertext, str):
            raise HandshakeError("the client sent no KMSCipherTextKey")
        self.cipher = Cipher(encryption.decrypt(ciphertext, context), Role.AGENT)

    def _challenge_or_complete(self, elapsed: float) -> Messages:
        if self.cipher is None:
            return self._complete(self._please_update(), elapsed)
        self._secret = os.urandom(_CHALLENGE_LENGTH)
        sealed = base64.b64encode(self.cipher.seal(self._secret)).decode("ascii")
        return [(payloads.ENCRYPTION_CHALLENGE_REQUEST, payloads.build_challenge(sealed))]

    def _please_update(self) -> str:
        is_old = not newer_than(self.client_version, _OLD_CLIENT)
        return _PLEASE_UPDATE if is_old and self._assignment.separate_output else ""

    def _proved(self, answer: str) -> None:
        assert self.cipher is not None
        try:
            opened = self.cipher.open(base64.b64decode(answer, validate=True))
        except (ValueError, EncryptionError) as error:
            raise HandshakeError("the client's encryption challenge does not open") from error
        if opened != self._secret:
            raise HandshakeError("the client's encryption challenge is not the one that was sent")

    def _complete(self, customer_message: str, elapsed: float) -> Messages:
        self.done = True
        complete = payloads.HandshakeComplete(int(elapsed * 1e9), customer_message)
        return [(payloads.HANDSHAKE_COMPLETE, payloads.build_handshake_complete(complete))]
