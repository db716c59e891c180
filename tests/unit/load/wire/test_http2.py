import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from harness.load.wire import http2
from harness.load.wire.grpc import request_headers
from harness.load.wire.http1 import ProtocolError

ADDRESS = "127.0.0.1:8001"
FIELDS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/inference.GRPCInferenceService/ModelInfer",
    ":authority": ADDRESS,
    "content-type": "application/grpc",
    "te": "trailers",
}


def test_every_form_of_the_request_headers_reads_the_same():
    headers, decoder = request_headers(ADDRESS), Decoder()
    plain = dict(decoder.decode(headers.plain))
    assert plain.items() >= FIELDS.items()
    assert dict(decoder.decode(headers.first)) == plain
    assert dict(decoder.decode(headers.again)) == plain
    assert dict(decoder.decode(headers.again)) == plain
    assert len(headers.again) < 10


def test_the_headers_fit_the_default_table_and_no_small_one():
    headers = request_headers(ADDRESS)
    assert headers.fits(http2.DEFAULT_TABLE)
    assert not headers.fits(100)


@given(st.integers(0, 1 << 31), st.integers(1, 8))
def test_integers_are_hpack_integers(value, bits):
    from hpack.hpack import decode_integer

    assert decode_integer(http2.integer(value, bits, 0), bits)[0] == value


pairs = st.tuples(
    st.sampled_from(["grpc-status", "grpc-message", "content-type", "x"]),
    st.sampled_from(["0", "13", "out%20of", "application/grpc", "a" * 40]),
)


@given(st.lists(st.lists(pairs, min_size=1, max_size=4), max_size=12), st.booleans())
def test_remembered_blocks_never_differ_from_decoded_ones(blocks, huffman):
    """An encoder with a small table throws entries out, so the same bytes change their meaning."""
    encoder, decoder = Encoder(), http2.HeaderDecoder()
    encoder.header_table_size = 200
    for fields in blocks:
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == dict(fields)


def test_a_block_is_remembered_until_the_table_changes():
    encoder, decoder = Encoder(), http2.HeaderDecoder()
    decoder.decode(encoder.encode([("a", "1")]))
    again = encoder.encode([("a", "1")])
    assert decoder.decode(again) is decoder.decode(again)
    decoder.decode(encoder.encode([("b", "2")]))
    assert decoder.decode(again) == {"b": "2"}  # the same index is another entry now


def test_a_broken_block_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="header block"):
        http2.HeaderDecoder().decode(b"\xff\xff\xff\x7f")


def test_padding_and_priority_are_taken_off():
    padded = bytes([2]) + b"body" + b"\0\0"
    assert http2.strip(http2.PADDED, http2.DATA, padded) == b"body"
    flags = http2.PADDED | http2.PRIORITISED
    payload = bytes([1]) + b"\0\0\0\1\5" + b"head" + b"\0"
    assert http2.strip(flags, http2.HEADERS, payload) == b"head"
    with pytest.raises(ProtocolError, match="padding"):
        http2.strip(http2.PADDED, http2.DATA, b"\x09abc")


def test_a_frame_has_its_length_type_flags_and_stream():
    assert http2.frame(http2.PING, http2.ACK, 7, b"12345678") == (
        b"\0\0\x08\x06\x01\0\0\0\x0712345678"
    )


def test_error_codes_have_names():
    assert http2.error_name(7) == "REFUSED_STREAM"
    assert http2.error_name(99) == "99"
