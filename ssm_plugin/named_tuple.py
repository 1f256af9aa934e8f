"""``NamedTuple``, for a program that is started once for each session.

``typing.NamedTuple`` writes the source of each class's constructor and evaluates it: 0.15 ms a
class on CPython 3.11, 0.5 ms on 3.6, and there are sixty on the way to a session's first frame.
This one makes the same classes, without that; type checkers are shown ``typing``'s.
"""

import sys
from typing import TYPE_CHECKING

# From Python 3.14 on a class body keeps its annotations where only ``typing`` is to look.
if TYPE_CHECKING or sys.version_info >= (3, 14):
    from typing import NamedTuple as NamedTuple
else:
    from operator import itemgetter

    _new = tuple.__new__

    class _Meta(type):
        """Turns the annotations of a class body into fields, and their values into defaults."""

        def __new__(mcs, name, bases, body):
            fields = tuple(body.get("__annotations__", ())) or bases[0]._fields
            body["_fields"] = fields
            defaults = {field: body[field] for field in fields if field in body}
            body["_field_defaults"] = defaults
            body["_last"] = tuple(defaults.values())  # the values of the last fields, in order
            body["__slots__"] = ()
            for index, field in enumerate(fields):
                body[field] = property(itemgetter(index))
            return type.__new__(mcs, name, bases, body)

    class _Fields(tuple):
        """What all of them can do."""

        __slots__ = ()
        _fields = ()

        def __new__(cls, *values, **named):
            absent = len(cls._fields) - len(values)
            if not absent and not named:
                return _new(cls, values)
            if named or not 0 <= absent <= len(cls._last):
                values = _complete(cls, values, named)
            elif absent:
                values += cls._last[-absent:]
            return _new(cls, values)

        def _replace(self, **changes):
            values = [changes.pop(field, value) for field, value in zip(self._fields, self)]
            if changes:
                raise ValueError("no such fields: %s" % ", ".join(changes))
            return _new(type(self), values)

        def __repr__(self):
            pairs = ["%s=%r" % pair for pair in zip(self._fields, self)]
            return "%s(%s)" % (type(self).__name__, ", ".join(pairs))

        def __getnewargs__(self):
            return tuple(self)

    def _complete(cls, values, named):
        """All values, in order, of a constructor's arguments. TypeError where they do not fit."""
        rest = cls._fields[len(values):]
        defaults = cls._field_defaults
        missing = [name for name in rest if name not in named and name not in defaults]
        strange = [name for name in named if name not in rest]
        if missing or strange or len(values) > len(cls._fields):
            problem = "missing: %s" % ", ".join(missing) if missing else "too many, or unknown"
            raise TypeError("%s: arguments %s" % (cls.__name__, problem))
        return values + tuple([named[n] if n in named else defaults[n] for n in rest])

    NamedTuple = _Meta("NamedTuple", (_Fields,), {})
