"""What leaves: never a byte more than the peer allows, and every byte in order."""

from support.http2_peer import outgoing, sent

from harness.load.wire import http2


def data_of(frames, stream):
    return b"".join(p for kind, _, s, p in frames if kind == http2.DATA and s == stream)


def test_the_first_request_fills_the_table_and_later_ones_are_indices():
    out = outgoing(b"hello")
    out.request(1, 0)
    out.request(3, 0)
    first, data, second, _ = sent(out)
    assert first[:3] == (http2.HEADERS, http2.END_HEADERS, 1)
    assert data == (http2.DATA, http2.END_STREAM, 1, b"\0\0\0\0\5hello")
    assert len(second[3]) < 10 < len(first[3])


def test_both_windows_are_spent_and_what_is_left_follows():
    message = bytes(range(256)) * 400
    out = outgoing(message)
    out.request(1, 0)
    before = sent(out)
    assert len(data_of(before, 1)) == http2.DEFAULT_WINDOW
    assert all(len(p) <= http2.DEFAULT_FRAME for *_, p in before)
    assert all(not flags & http2.END_STREAM for _, flags, *_ in before)
    out.widen(1, 1 << 20)  # the connection's window is still empty
    assert sent(out) == []
    out.widen(0, 10)
    ten = sent(out)
    assert len(data_of(ten, 1)) == 10
    out.widen(0, 1 << 20)
    rest = sent(out)
    assert rest[-1][1] & http2.END_STREAM and not out.uploads
    assert b"".join(data_of(f, 1) for f in (before, ten, rest))[5:] == message


def test_a_larger_initial_window_counts_for_streams_under_way():
    out = outgoing(bytes(80_000))
    out.allow([(http2.INITIAL_WINDOW, 1000)])
    out.request(1, 0)
    assert len(data_of(sent(out), 1)) == 1000
    out.allow([(http2.INITIAL_WINDOW, 3000)])
    assert len(data_of(sent(out), 1)) == 2000
    out.allow([(http2.INITIAL_WINDOW, 2500)])  # below what was sent: the window is negative
    out.widen(1, 500)
    assert len(data_of(sent(out), 1)) == 0
    out.widen(1, 7)
    assert len(data_of(sent(out), 1)) == 7


def test_settings_are_acknowledged_and_bound_frames_and_streams():
    out = outgoing(bytes(50_000))
    out.allow([(http2.MAX_FRAME, 20_000), (http2.MAX_STREAMS, 0)])
    assert sent(out) == [(http2.SETTINGS, http2.ACK, 0, b"")]
    assert out.limit == 1, "none at all would never send"
    out.request(1, 0)
    sizes = [len(p) for kind, _, _, p in sent(out) if kind == http2.DATA]
    assert sizes == [20_000, 20_000, 10_005]


def test_a_table_that_shrinks_is_filled_again_after_saying_so():
    out = outgoing(b"hello")
    out.request(1, 0)
    whole = sent(out)[0][3]
    out.allow([(http2.TABLE_SIZE, 2048)])
    sent(out)
    out.request(3, 0)
    block = sent(out)[0][3]
    assert block == http2.integer(2048, 5, 0x20) + whole
    out.request(5, 0)
    assert len(sent(out)[0][3]) < 10


def test_a_cancelled_upload_sends_no_more():
    out = outgoing(bytes(100_000))
    out.request(1, 0)
    sent(out)
    out.cancel(1)
    out.widen(0, 1 << 20)
    assert sent(out) == [(http2.RST_STREAM, 0, 1, http2.CANCEL.to_bytes(4, "big"))]


def test_only_large_parts_make_it_bulky():
    out = outgoing(bytes(4000), bytes(9000))
    out.request(1, 0)
    assert not out.bulky
    out.request(3, 1)
    assert not out.bulky, "a message that fits the windows is one part with its headers"
    out.allow([(http2.INITIAL_WINDOW, 8000)])
    out.request(5, 1)
    assert out.bulky
