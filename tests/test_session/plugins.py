"""A session type of somebody else's: what the interfaces ask for, and a record of what happened."""

from ssm_plugin.errors import ConnectError, SessionPropertyError
from ssm_plugin.session.protocols import ISession, ISessionPlugin
from ssm_plugin.session.types import SessionStatus, SessionType


class OtherSession(ISession):
    def __init__(self, config, client_config, failure=None):
        self.config = config
        self.client_config = client_config
        self.terminated = 0
        self._failure = failure
        self._status = SessionStatus.CREATED

    def execute(self):
        if self._failure:
            self._status = SessionStatus.FAILED
            raise self._failure
        self._status = SessionStatus.CONNECTED

    def open_data_channel(self):
        return True

    def terminate_session(self):
        self.terminated += 1
        self._status = SessionStatus.TERMINATED
        if self.config.target == "unwilling":
            raise ConnectError("unwilling to end")

    @property
    def session_id(self):
        return self.config.session_id

    @property
    def status(self):
        return self._status


class OtherPlugin(ISessionPlugin):
    """``failure`` is what its sessions raise when they are executed."""

    def __init__(self, failure=None):
        self._failure = failure

    def get_supported_session_types(self):
        return [kind.value for kind in SessionType]

    def create_session(self, config, client_config):
        return OtherSession(config, client_config, self._failure)

    def validate_session_properties(self, config):
        if config.target == "forbidden":
            raise SessionPropertyError("target is forbidden")
        return config.target != "unsuitable"
