import pytest

from ssm_plugin.errors import RemoteError
from ssm_plugin.wire.smux import FIN, NOP, PSH, SYN, FrameSplitter, encode_frame

pytest.importorskip("hypothesis")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

IDS = st.integers(0, 0xFFFFFFFF)
FRAMES = st.lists(
    st.one_of(
        st.tuples(st.just(PSH), IDS, st.binary(max_size=80)),
        st.tuples(st.sampled_from([SYN, FIN, NOP]), IDS, st.just(b"")),
    ),
    max_size=12,
)


def cut(data, places):
    places = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0] + places, places + [len(data)])]


def joined(frames):
    """Frames with neighbouring data of one stream put together."""
    whole = []
    for command, stream, payload in frames:
        if command == PSH and whole and whole[-1][:2] == (PSH, stream):
            whole[-1] = (PSH, stream, whole[-1][2] + bytes(payload))
        elif command != PSH or payload:
            whole.append((command, stream, bytes(payload)))
    return whole


@given(FRAMES, st.lists(st.integers(0, 2000), max_size=30))
def test_however_the_stream_is_cut_the_frames_are_the_same(frames, places):
    splitter = FrameSplitter()
    data = b"".join(encode_frame(*frame) for frame in frames)
    split = [frame for piece in cut(data, places) for frame in splitter.feed(piece)]
    assert joined(split) == joined(frames)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_give_frames_or_our_error(pieces):
    splitter = FrameSplitter()
    fed = 0
    for piece in pieces:
        fed += len(piece)
        try:
            for command, _, payload in splitter.feed(piece):
                assert SYN <= command <= NOP
                assert len(payload) <= fed
        except RemoteError as error:
            assert "\n" not in str(error)
            return
