"""What a tunnel leads to: a listener whose connections the test accepts, and treats as it likes."""

import socket

from .tunnels import TIME_LIMIT


class Target:
    def __enter__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(20)
        self._listener.settimeout(TIME_LIMIT)
        self._accepted = []
        self.port = self._listener.getsockname()[1]
        return self

    def accept(self):
        peer, _ = self._listener.accept()
        peer.settimeout(TIME_LIMIT)
        self._accepted.append(peer)
        return peer

    def __exit__(self, *exception):
        self._listener.close()
        for peer in self._accepted:
            peer.close()
