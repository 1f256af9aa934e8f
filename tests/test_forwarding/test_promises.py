"""What scripts/prove_tunnels proves at full size, in seconds."""

import pytest

from scripts.proving import databases, tunnels


@pytest.mark.e2e
@pytest.mark.volume
def test_many_files_over_many_connections(tmp_path):
    assert "all equal" in tunnels.curl_many(str(tmp_path), 60, 30)


@pytest.mark.volume
def test_connections_that_end_leave_nothing_behind(tmp_path):
    assert "no stream left" in tunnels.churn(str(tmp_path), 100, 40)


@pytest.mark.volume
def test_one_that_does_not_read_holds_up_nobody(tmp_path):
    assert "others meanwhile" in tunnels.one_does_not_read(str(tmp_path), 2, 8 * tunnels.MIB)


def test_answers_that_take_long(tmp_path):
    assert databases.long_poll(str(tmp_path), 3, 0.3).startswith("3 long polls")


def test_no_knock_at_the_port_is_refused_while_sessions_end(tmp_path):
    assert "no connection was refused" in tunnels.ten_ends(str(tmp_path), 5)


@pytest.mark.volume
def test_faults_and_lost_connections_lose_no_byte(tmp_path):
    line = tunnels.faults(str(tmp_path), 4, tunnels.MIB // 4, drop_every=1.0)
    assert "all SHA-256 equal, in one session" in line
