"""Texts of help, and how their tables are set."""

import textwrap
from typing import Iterable, List, Sequence, Tuple

from ..config import VARIABLES

WIDTH = 80

Row = Tuple[str, str]

EXIT_STATUS: Tuple[Row, ...] = (
    ("0", "the session ran and ended normally; doctor: nothing stands in the way"),
    (
        "n",
        "a command session: its command ended with n, where the node reports that; connect: so "
        "did ssh",
    ),
    ("1", "doctor: something stands in the way; cp: a file does, here or at the node"),
    ("124", "our own time limit ended it"),
    ("128+n", "ended by signal n here"),
    (
        "255",
        "the session could not be started, was lost and could not be resumed, was ended for a "
        "reason that the service gives, or its output is known to be incomplete; any other error",
    ),
)

# Without those that stand for a key of the configuration file: see ``VARIABLES``.
_OF_THE_PROGRAM: Tuple[Row, ...] = (
    ("SSM_PLUGIN_CONFIG", "the configuration file"),
    ("SSM_PLUGIN_EXIT_STATUS", "legacy: the status is always 0, as that of AWS's plugin is"),
    ("XDG_CONFIG_HOME", "where the configuration is looked for, in place of ~/.config"),
    ("XDG_CACHE_HOME", "where compiled code and the names of nodes are kept (~/.cache)"),
    ("XDG_STATE_HOME", "where locks and outputs of jobs are kept (~/.local/state)"),
    ("NOTIFY_SOCKET", "systemd's: forward says there when it is ready"),
    ("SSH_AUTH_SOCK", "the agent of ssh, whose key --push-key takes"),
    ("LANG, LC_CTYPE, LC_ALL", "which characters the terminal has"),
)
_OF_AWS: Tuple[Row, ...] = (
    ("AWS_ACCESS_KEY_ID", "credentials, together with the next two"),
    ("AWS_SECRET_ACCESS_KEY", "the secret of them"),
    ("AWS_SESSION_TOKEN", "of temporary ones; also AWS_SECURITY_TOKEN"),
    ("AWS_CREDENTIAL_EXPIRATION", "until when they are good"),
    ("AWS_CONFIG_FILE", "in place of ~/.aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", "in place of ~/.aws/credentials"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "a token for the role in AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "set in containers of ECS"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "set in pods of EKS, for one"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "what that URI wants to see"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "the same, in a file"),
    ("AWS_EC2_METADATA_DISABLED", "true: the instance metadata is not asked for credentials"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "where it is asked for"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv4 or IPv6, where that is not set"),
    ("AWS_METADATA_SERVICE_TIMEOUT", "seconds for each question to it; 1 if that is not set"),
    ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "how often it is asked; 1 if that is not set"),
    ("AWS_ENDPOINT_URL_KMS", "the endpoint of that service; so for each other one that is called"),
    ("AWS_USE_FIPS_ENDPOINT", "true: endpoints that are validated by FIPS 140"),
    ("AWS_USE_DUALSTACK_ENDPOINT", "true: endpoints that have IPv6 as well"),
    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true: AWS_ENDPOINT_URL does not count"),
    ("AWS_CA_BUNDLE", "CA certificates, in place of the system's"),
)
_OF_THE_NETWORK: Tuple[Row, ...] = (
    ("HTTPS_PROXY", "a proxy for https and wss; also HTTP_PROXY, and in small letters"),
    ("ALL_PROXY", "a proxy where these are not set; a SOCKS one is passed over"),
    ("NO_PROXY", "hosts that are reached without one"),
    ("REQUESTS_CA_BUNDLE", "CA certificates, where AWS_CA_BUNDLE is not set"),
    ("SSL_CERT_FILE", "the same, where neither is set"),
)


def exit_status_help() -> str:
    return "The exit status of ssm-plugin says how it ended:\n\n" + table(EXIT_STATUS)


def environment() -> List[Row]:
    """All variables that are read, and what they are for."""
    of_keys = [
        (name, "%s of the configuration%s" % (key, "" if at == 0 else ", if that is not set"))
        for key, names in VARIABLES.items()
        for at, name in enumerate(names)
    ]
    return list(_OF_THE_PROGRAM[:2]) + of_keys + list(
        _OF_AWS + _OF_THE_NETWORK + _OF_THE_PROGRAM[2:]
    )


def environment_help() -> str:
    text = "The environment variables that are looked at; an empty one counts as not set:\n\n"
    return text + table(environment())


def table(rows: Iterable[Row]) -> str:
    """Two columns, the second one in as many lines as it takes."""
    kept = list(rows)
    width = min(max(len(name) for name, _ in kept), 27)
    lines: List[str] = []
    for name, text in kept:
        filled = textwrap.wrap(text, WIDTH - width - 4)
        if len(name) > width:
            lines.append("  " + name)
            name = ""
        for part in filled:
            lines.append("  %-*s  %s" % (width, name, part))
            name = ""
    return "".join(line + "\n" for line in lines)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows with aligned columns, each as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "".join(
        "  ".join("%-*s" % pair for pair in zip(widths, row)).rstrip() + "\n" for row in rows
    )
