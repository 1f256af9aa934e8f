"""A TCP server that sends back what it gets."""

import socket
import threading


class EchoServer:
    def __enter__(self):
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self._threads = []
        self._open = set()
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept_all, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # its client has reset it
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)

    def _accept_all(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # shut down
            thread = threading.Thread(target=self._echo, args=(sock,), daemon=True)
            with self._lock:
                self._open.add(sock)
                self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def _echo(self, sock):
        try:
            while True:
                data = sock.recv(65536)
                if not data:
                    break
                sock.sendall(data)
        except OSError:
            pass  # the client is gone
        finally:
            with self._lock:
                self._open.discard(sock)
                sock.close()
