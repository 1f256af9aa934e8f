"""Start of the program, in syntax that every Python reads, so that an old one can say so.

The built file carries this module a second time, as its top-level ``__main__.py``.
"""

import sys

if sys.version_info < (3, 6):
    sys.stderr.write(
        "session-manager-plugin needs Python 3.6 or newer, but python3 here is %s: %d.%d\n"
        % ((sys.executable,) + tuple(sys.version_info[:2]))
    )
    sys.exit(255)

from ssm_plugin.cli import main  # noqa: E402  (cannot be parsed before the check)

sys.exit(main())
