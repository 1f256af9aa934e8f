"""What other threads bring."""

import threading

TIME_LIMIT = 40.0


class Collected:
    """Bytes that come from another thread; ``wait_for`` waits until some are there."""

    def __init__(self):
        self.data = b""
        self._changed = threading.Condition()

    def add(self, data):
        with self._changed:
            self.data += data
            self._changed.notify_all()

    def wait_for(self, wanted, times=1):
        with self._changed:
            came = self._changed.wait_for(lambda: self.data.count(wanted) >= times, TIME_LIMIT)
            assert came, "%r did not come; %r" % (wanted, self.data[-2000:])
