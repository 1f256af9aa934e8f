"""Print what makes the TAB key complete commands, options, names and ids in a shell.

Completed are configured targets and jobs, profiles of AWS, and the nodes that 'ssm-plugin list'
has shown within the last five minutes. No service is asked at a TAB.
"""

import argparse
from typing import List, Mapping

from ..config import Settings
from ..display import encoded
from ..errors import UsageError
from ..session.streams import write_all
from .completion_scripts import SCRIPTS

# A TAB is no place for the errors of a configuration.
LOADS_SETTINGS_ITSELF = True

EXAMPLE = """\
examples:
  echo 'source <(ssm-plugin completion bash)' >> ~/.bashrc
  echo 'source <(ssm-plugin completion zsh)' >> ~/.zshrc     # after compinit
  ssm-plugin completion fish > ~/.config/fish/completions/ssm-plugin.fish
"""

# What the scripts call: ``completion for zsh WORD ...``.
_CALLED_BACK = "for"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", help="one of: %s" % ", ".join(SCRIPTS))
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]) -> int:
    if options.shell == _CALLED_BACK and options.words[:1] and options.words[0] in SCRIPTS:
        text = _answer(options.words[0], options.words[1:], environ)
    elif options.shell in SCRIPTS and options.words:
        words = " ".join(options.words)[:200]
        raise UsageError(
            "unrecognized arguments: %s; see 'ssm-plugin completion --help'" % words
        )
    elif options.shell in SCRIPTS:
        text = SCRIPTS[options.shell]
    else:
        raise UsageError(
            "there is no completion for %r; there is for %s"
            % (options.shell[:50], ", ".join(SCRIPTS))
        )
    write_all(1, encoded(text))
    return 0


def _answer(shell: str, words: List[str], environ: Mapping[str, str]) -> str:
    from .completion_words import fitting, for_bash

    lines = for_bash(words, environ) if shell == "bash" else fitting(words, environ)
    return "".join(line + "\n" for line in lines)
