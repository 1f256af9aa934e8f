"""The benchmark in short: that it measures at all. What it measures depends on the machine."""

import json
import os
import stat
import subprocess
import sys

import pytest

from tests.support.pty import ROOT

pytestmark = pytest.mark.e2e


def benchmark(tmp_path, only, *more):
    path = tmp_path / "figures.json"
    words = [sys.executable, os.path.join(ROOT, "scripts", "benchmark"), "--short"]
    done = subprocess.run(
        words + ["--only", only, "--json", str(path)] + list(more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=True,
    )
    return done, {record["name"]: record for record in json.loads(path.read_text())["figures"]}


def test_a_table_and_a_file_have_the_same_figures(tmp_path, zipapp):
    done, figures = benchmark(
        tmp_path, "^(transfer stdio (down|up)|encrypted_shell)$", "--client", str(zipapp)
    )
    assert {"stdio down, MiB/s", "stdio up, MiB/s", "shell down, KMS, MiB/s"} <= set(figures)
    assert all(record["medians"]["ours"] > 0 for record in figures.values())
    lines = done.stdout.splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == list(figures)


def test_what_a_peer_cannot_do_is_left_out(tmp_path, zipapp):
    peer = tmp_path / "useless"
    peer.write_text("#!/bin/sh\nexit 1\n")
    peer.chmod(peer.stat().st_mode | stat.S_IXUSR)
    done, figures = benchmark(tmp_path, "^start$", "--client", str(zipapp), "--peer", str(peer))
    assert "useless: left out: " in done.stderr
    assert all(list(record["medians"]) == ["ours"] for record in figures.values())
