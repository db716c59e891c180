"""The gRPC load against grpcio's own server, and against scripted frames for what it never does."""

import contextlib
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hpack import Decoder

from harness.errors import ServerDiedError
from harness.load.wire import http2
from harness.load.wire.grpc import METHOD
from harness.load.wire.plan import Plan, make
from harness.results.samples import ERROR, OK, TIMEOUT

grpc = pytest.importorskip("grpc")


@contextlib.contextmanager
def grpcio(behave, *, workers=8, **options):
    """A real gRPC server; `behave(message, context)` answers."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            assert details.method.encode() == METHOD
            return grpc.unary_unary_rpc_method_handler(behave)

    chosen = {"max_receive_message_length": -1, "max_send_message_length": -1, **options}
    server = grpc.server(
        ThreadPoolExecutor(workers), options=[(f"grpc.{k}", v) for k, v in chosen.items()]
    )
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", server
    finally:
        server.stop(None).wait()


def wait_for(generator, count, seconds=30.0):
    deadline = time.monotonic() + seconds
    while generator.completed() < count and generator.failure is None:
        assert time.monotonic() < deadline, f"only {generator.completed()} requests"
        time.sleep(0.005)


def load(address, count, *, slots=4, requests=(b"one", b"two", b"three"), timeout=20.0, **changes):
    generator = make(Plan("grpc", address, tuple(requests), slots, timeout, **changes))
    generator.start()
    wait_for(generator, count)
    return generator.stop(20.0), generator


def echo(message, _):
    return message


def test_every_caller_gets_the_answer_to_its_request():
    requests = tuple(bytes([i]) * (i * 100) for i in range(5))
    with grpcio(echo) as (address, _):
        samples, generator = load(address, 600, requests=requests, sample_every=7)
    assert (samples.status == OK).all() and set(samples.caller) == {0, 1, 2, 3}
    for caller in range(4):
        mine = samples.caller == caller
        assert (samples.sent[mine][1:] >= samples.done[mine][:-1]).all()
    assert {index for index, _ in generator.sampled()} == {0, 1, 2, 3, 4}
    assert all(raw == requests[index] for index, raw in generator.sampled())


@pytest.mark.parametrize("slots", [1, 3])
def test_messages_far_larger_than_every_window(slots):
    message = np.random.default_rng(0).bytes(38_000_000)
    with grpcio(echo) as (address, _):
        samples, generator = load(address, 2, slots=slots, requests=[message], sample_every=1)
    assert (samples.status == OK).all()
    assert all(raw == message for _, raw in generator.sampled())


def test_large_and_small_messages_share_a_connection():
    requests = [b"s", np.random.default_rng(0).bytes(3_000_000)]
    with grpcio(echo) as (address, _):
        samples, generator = load(address, 40, slots=5, requests=requests, sample_every=1)
    assert (samples.status == OK).all()
    assert all(raw == requests[index] for index, raw in generator.sampled())


def test_the_status_message_is_read():
    def behave(_, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no model «x», 100%")

    with grpcio(behave) as (address, _):
        samples, _ = load(address, 5)
    assert (samples.status == ERROR).all()
    assert samples.messages == {"gRPC status 5: no model «x», 100%": len(samples)}


def test_an_empty_message_is_a_message():
    with grpcio(lambda *_: b"") as (address, _):
        samples, _ = load(address, 50)
    assert (samples.status == OK).all()


def test_a_deadline_of_the_server_is_a_time_out():
    def behave(_, context):
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")

    with grpcio(behave) as (address, _):
        samples, _ = load(address, 5)
    assert (samples.status == TIMEOUT).all()


def test_a_late_answer_is_a_time_out_and_leaves_the_connection_usable():
    peers, over = [], threading.Event()

    def behave(message, context):
        peers.append(context.peer())
        if len(peers) == 2:
            over.wait(60)
        return message

    with grpcio(behave) as (address, _):
        samples, _ = load(address, 40, slots=2, timeout=0.15)
        over.set()
    late = samples.status == TIMEOUT
    assert late.any() and (samples.status == OK).sum() + late.sum() == len(samples)
    assert (samples.done - samples.sent > 0.15e9).tolist() == late.tolist()
    assert len(set(peers)) == 1


def test_more_streams_than_a_connection_may_have_open_more_connections():
    peers = set()

    def behave(message, context):
        peers.add(context.peer())
        time.sleep(0.01)
        return message

    with grpcio(behave, workers=20, max_concurrent_streams=3) as (address, _):
        samples, _ = load(address, 100, slots=10)
    assert (samples.status == OK).all()
    assert len(peers) == 4


def test_a_connection_that_the_server_ages_out_is_replaced():
    peers = set()

    def behave(message, context):
        peers.add(context.peer())
        return message

    with grpcio(behave, max_connection_age_ms=150, max_connection_age_grace_ms=5000) as (a, _):
        generator = make(Plan("grpc", a, (b"x",), 4, 10.0))
        generator.start()
        while len(peers) < 4 and generator.failure is None:
            time.sleep(0.05)
        samples = generator.stop(10.0)
    assert (samples.status != OK).sum() <= 4 * len(peers)  # what it had no time to look at
    assert (samples.status == OK).sum() > 4 * len(peers)


def test_a_server_that_dies_ends_the_load():
    with grpcio(echo) as (address, server):
        generator = make(Plan("grpc", address, (b"x",), 4, 5.0))
        generator.start()
        wait_for(generator, 50)
        server.stop(None).wait()
        deadline = time.monotonic() + 5
        while generator.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert isinstance(generator.failure, ServerDiedError)


def test_a_server_that_speaks_no_http2_is_told_from_one_that_does():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                time.sleep(0.2)

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ServerDiedError, match="HTTP/2"):
            make(Plan("grpc", address, (b"x",), 1, 1.0)).start()


def test_an_open_loop_keeps_its_schedule():
    schedule = np.cumsum(np.random.default_rng(1).exponential(3e6, 300)).astype(np.int64)
    with grpcio(echo) as (address, _):
        samples, _ = load(address, 300, slots=64, schedule=schedule)
    assert (samples.status == OK).all() and len(samples) == 300
    assert sorted(samples.scheduled - samples.scheduled.min()) == (schedule - schedule[0]).tolist()


# ------------------------------------------------------------------------------ scripted frames

STATUS = http2.literal(b":status", b"200") + http2.literal(b"content-type", b"application/grpc")
TRAILERS = http2.literal(b"grpc-status", b"0")
MESSAGE = b"\0\0\0\0\5hello"
WHOLE = http2.END_HEADERS | http2.END_STREAM


class Frames:
    """The server's end: reads frames, answers what it is told."""

    def __init__(self, sock):
        self.sock, self.data, self.decoder = sock, b"", Decoder()

    def read(self, size):
        while len(self.data) < size:
            part = self.sock.recv(1 << 16)
            if not part:
                raise EOFError
            self.data += part
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def greet(self, **settings):
        assert self.read(len(http2.PREFACE)) == http2.PREFACE
        self.sock.sendall(http2.settings({getattr(http2, k): v for k, v in settings.items()}))

    def next(self):
        word, flags, stream = http2.FRAME.unpack(self.read(9))
        payload = self.read(word >> 8)
        if word & 0xFF == http2.HEADERS:
            self.block, self.fields = payload, dict(self.decoder.decode(payload))
        return word & 0xFF, flags, stream, payload

    def request(self):
        """Stream and message of the next whole request; header fields in `fields`."""
        messages = {}
        while True:
            kind, flags, stream, payload = self.next()
            if kind == http2.HEADERS:
                messages[stream] = b""
            elif kind == http2.DATA:
                messages[stream] += payload
                if flags & http2.END_STREAM:
                    return stream, messages[stream]

    def send(self, kind, flags, stream, payload=b""):
        self.sock.sendall(http2.frame(kind, flags, stream, payload))

    def answer(self, stream):
        self.send(http2.HEADERS, http2.END_HEADERS, stream, STATUS)
        self.send(http2.DATA, 0, stream, MESSAGE)
        self.send(http2.HEADERS, WHOLE, stream, TRAILERS)


@contextlib.contextmanager
def scripted(script):
    """`script(frames, number)` for each connection; an assertion in it fails the test."""
    errors, socks = [], []

    def talk(sock, number):
        try:
            script(Frames(sock), number)
        except (OSError, EOFError):
            pass
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            sock.close()

    def accept():
        with contextlib.suppress(OSError):
            for number in range(1, 1000):
                sock, _ = listener.accept()
                socks.append(sock)
                threading.Thread(target=talk, args=(sock, number), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)  # ends the wait in `accept`, else for ever
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    if errors:
        raise errors[0]


def answering(frames):
    while True:
        frames.answer(frames.request()[0])


def test_frames_in_every_odd_form_are_understood():
    def script(frames, _):
        frames.greet()
        while True:
            stream, _ = frames.request()
            frames.send(http2.PING, 0, 0, b"12345678")
            frames.send(99, 0, 0, b"unknown frames are ignored")
            frames.send(http2.PRIORITY, 0, stream, bytes(5))
            half = len(STATUS) // 2
            frames.send(
                http2.HEADERS, http2.PADDED | http2.PRIORITISED, stream,
                bytes([3]) + bytes(5) + STATUS[:half] + bytes(3),
            )  # fmt: skip
            frames.send(http2.CONTINUATION, http2.END_HEADERS, stream, STATUS[half:])
            frames.send(http2.DATA, http2.PADDED, stream, bytes([4]) + MESSAGE[:3] + bytes(4))
            frames.send(http2.DATA, 0, stream, b"")
            frames.send(http2.DATA, 0, stream, MESSAGE[3:6])
            frames.send(http2.DATA, 0, stream, MESSAGE[6:])
            frames.send(http2.HEADERS, http2.END_STREAM, stream, TRAILERS[:4])
            frames.send(http2.CONTINUATION, http2.END_HEADERS, stream, TRAILERS[4:])
            kind, flags, _, payload = frames.next()
            while kind != http2.PING:
                kind, flags, _, payload = frames.next()
            assert flags & http2.ACK and payload == b"12345678"

    with scripted(script) as address:
        samples, generator = load(address, 10, slots=1, sample_every=1)
    assert (samples.status == OK).all()
    assert {raw for _, raw in generator.sampled()} == {b"hello"}


def test_frames_cut_at_every_byte_are_understood():
    def script(frames, _):
        frames.greet()
        while True:
            stream, _ = frames.request()
            data = http2.frame(http2.HEADERS, http2.END_HEADERS, stream, STATUS)
            data += http2.frame(http2.DATA, 0, stream, MESSAGE)
            data += http2.frame(http2.HEADERS, WHOLE, stream, TRAILERS)
            frames.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(data)):
                frames.sock.sendall(data[at : at + 1])

    with scripted(script) as address:
        samples, generator = load(address, 4, slots=1, sample_every=1)
    assert (samples.status == OK).all()
    assert {raw for _, raw in generator.sampled()} == {b"hello"}


def test_settings_are_acknowledged_and_windows_kept():
    """A server with tiny windows and frames: not one byte more than it allows."""
    message = np.random.default_rng(0).bytes(5000)
    checked = threading.Event()

    def script(frames, _):
        frames.greet(INITIAL_WINDOW=1000, MAX_FRAME=16384)
        received, kinds = b"", []
        while len(received) < 1000:
            kind, flags, stream, payload = frames.next()
            kinds.append((kind, flags))
            if kind == http2.DATA:
                received += payload
        assert len(received) == 1000 and (http2.SETTINGS, http2.ACK) in kinds
        frames.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            frames.next()
        frames.sock.settimeout(10)
        frames.sock.sendall(http2.settings({http2.INITIAL_WINDOW: 1300}))  # 300 more
        while len(received) < 1300:
            kind, flags, stream, payload = frames.next()
            received += payload if kind == http2.DATA else b""
        assert len(received) == 1300
        frames.sock.sendall(http2.window_update(stream, 10_000))
        while len(received) < 5005:
            kind, flags, stream, payload = frames.next()
            received += payload if kind == http2.DATA else b""
        assert flags & http2.END_STREAM
        assert received[5:] == message
        checked.set()
        frames.sock.sendall(http2.settings({http2.INITIAL_WINDOW: 100_000}))
        frames.answer(stream)
        # the connection's own window is what is left of 65535
        used = 5005
        while True:
            kind, flags, stream, payload = frames.next()
            if kind == http2.DATA:
                used += len(payload)
                assert used <= 65535
                if used == 65535:
                    break
                if flags & http2.END_STREAM:
                    frames.answer(stream)
        frames.sock.sendall(http2.window_update(0, 1 << 20))
        while not (kind == http2.DATA and flags & http2.END_STREAM):
            kind, flags, stream, payload = frames.next()
        frames.answer(stream)
        answering(frames)

    with scripted(script) as address:
        samples, _ = load(address, 40, slots=1, requests=[message])
    assert checked.is_set() and (samples.status == OK).all()


@pytest.mark.parametrize("table", [0, 100, 4096, 100_000])
def test_headers_respect_the_servers_table(table):
    def script(frames, _):
        frames.greet(TABLE_SIZE=table)
        frames.decoder.max_allowed_table_size = table
        for count in range(1000):
            stream, _ = frames.request()
            assert frames.fields[":path"] == METHOD.decode()
            assert (len(frames.block) < 10) == (table >= 4096 and count > 0)
            frames.answer(stream)

    with scripted(script) as address:
        samples, _ = load(address, 10, slots=1)
    assert (samples.status == OK).all()


def test_a_table_that_shrinks_under_way():
    def script(frames, _):
        frames.greet()
        frames.answer(frames.request()[0])
        stream, _ = frames.request()
        assert len(frames.block) < 10
        frames.sock.sendall(http2.settings({http2.TABLE_SIZE: 0}))
        while frames.next()[0] != http2.SETTINGS:
            pass
        frames.decoder.max_allowed_table_size = 0
        frames.answer(stream)
        while True:
            stream, _ = frames.request()
            assert frames.fields[":path"] == METHOD.decode()
            frames.answer(stream)

    with scripted(script) as address:
        samples, _ = load(address, 10, slots=1)
    assert (samples.status == OK).all()


def test_a_reset_stream_is_one_error():
    def script(frames, _):
        frames.greet()
        stream, _ = frames.request()
        frames.send(http2.RST_STREAM, 0, stream, struct.pack(">I", 2))
        answering(frames)

    with scripted(script) as address:
        samples, _ = load(address, 20, slots=2)
    assert (samples.status == ERROR).sum() == 1
    assert samples.messages == {"the server reset the stream: INTERNAL_ERROR": 1}


@pytest.mark.parametrize("refusals", [3, 1000])
def test_a_refused_stream_is_sent_again_but_not_for_ever(refusals):
    def script(frames, _):
        frames.greet()
        for _ in range(refusals):
            stream, _ = frames.request()
            frames.send(http2.RST_STREAM, 0, stream, struct.pack(">I", http2.REFUSED_STREAM))
        time.sleep(0.1)
        answering(frames)

    with scripted(script) as address:
        samples, _ = load(address, 5, slots=1)
    if refusals == 3:
        assert (samples.status == OK).all()
        assert (samples.done - samples.sent)[0] > 0.1e9
    else:
        assert samples.messages == {"the server reset the stream: REFUSED_STREAM": len(samples)}


def test_goaway_loses_later_streams_and_awaits_earlier_ones():
    connections = []

    def script(frames, number):
        connections.append(number)
        frames.greet()
        if number > 1:
            answering(frames)
        streams = [frames.request()[0] for _ in range(4)]
        last = struct.pack(">II", streams[1], 0)
        frames.send(http2.GOAWAY, 0, 0, last + b"bye")
        time.sleep(0.1)
        for stream in streams[:2]:
            frames.answer(stream)
        assert frames.next()[0] == http2.SETTINGS  # our acknowledgement came; then the end
        with pytest.raises(EOFError):
            while True:
                assert frames.next()[0] != http2.HEADERS

    with scripted(script) as address:
        samples, _ = load(address, 50, slots=4)
    assert (samples.status == ERROR).sum() == 2
    assert list(samples.messages) == ["the server goes away: NO_ERROR bye"]
    assert connections == [1, 2]


@pytest.mark.parametrize(
    ("frames_of", "words"),
    [
        (lambda s: http2.frame(http2.DATA, http2.END_STREAM, s, MESSAGE), "without trailers"),
        (lambda s: http2.frame(http2.HEADERS, WHOLE, s, TRAILERS), "not one complete message"),
        (
            lambda s: (
                http2.frame(http2.DATA, 0, s, MESSAGE)
                + http2.frame(http2.DATA, 0, s, b"x")
                + http2.frame(http2.HEADERS, WHOLE, s, TRAILERS)
            ),
            "not one complete message",
        ),
        (
            lambda s: (
                http2.frame(http2.DATA, 0, s, MESSAGE[:-1])
                + http2.frame(http2.HEADERS, WHOLE, s, TRAILERS)
            ),
            "not one complete message",
        ),
        (
            lambda s: http2.frame(http2.HEADERS, WHOLE, s, http2.literal(b":status", b"503")),
            "no gRPC status",
        ),
        (lambda s: http2.frame(http2.HEADERS, 0, s, b"") + bytes(9), "interrupted"),
        (lambda s: http2.frame(http2.CONTINUATION, 4, s, b""), "CONTINUATION of nothing"),
        (lambda s: http2.frame(http2.PUSH_PROMISE, 4, s, bytes(4)), "pushes"),
        (lambda s: b"\xff" * 9, "a frame of"),
        (lambda s: b"", "closed the connection"),
    ],
)
def test_what_the_protocol_forbids_is_an_error_and_the_load_goes_on(frames_of, words):
    def script(frames, _):
        frames.greet()
        stream, _ = frames.request()
        frames.sock.sendall(frames_of(stream))
        time.sleep(0.05)

    with scripted(script) as address:
        samples, _ = load(address, 3, slots=1)
    assert set(samples.status) <= {ERROR}
    assert words in next(iter(samples.messages))


def test_an_answer_before_the_request_is_complete_frees_the_stream():
    def script(frames, _):
        frames.greet(INITIAL_WINDOW=100)
        while True:
            kind, _, stream, _ = frames.next()
            if kind == http2.HEADERS:
                end = http2.literal(b"grpc-status", b"8") + http2.literal(b"grpc-message", b"no")
                frames.send(http2.HEADERS, WHOLE, stream, STATUS + end)
            if kind == http2.RST_STREAM:
                resets.append(stream)

    resets = []
    with scripted(script) as address:
        samples, _ = load(address, 5, slots=2, requests=[bytes(10_000)])
    assert samples.messages == {"gRPC status 8: no": len(samples)}
    assert len(resets) >= 4
