"""A clock that stands still until it is told to go on."""


class Clock:
    """Call it for the time, in seconds."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds
        return self.now
