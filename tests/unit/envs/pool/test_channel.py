import multiprocessing
import os
import threading

import pytest

from amago.envs.pool.channel import Channel


@pytest.fixture
def ends():
    """Both ends of a pair of channels."""
    channels = [Channel(end) for end in multiprocessing.Pipe(duplex=True)]
    yield channels
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("size", [1, 2, 5, 6, 4096, 2**20, 2**20 + 7, 5_000_000])
def test_a_message_arrives_as_it_was_sent(ends, size):
    message = os.urandom(size)
    sender = threading.Thread(target=ends[0].send, args=(message,))  # more than the pipe takes
    sender.start()
    assert ends[1].receive() == message
    sender.join()


def test_messages_that_wait_together_stay_apart(ends):
    messages = [b"s", b"a longer one", b".", b"+" + bytes(300), b"x"]
    for message in messages:
        ends[0].send(message)
    assert [ends[1].receive() for _ in messages] == messages


def test_a_message_may_come_in_pieces(ends):
    data = b"\0\0\0\3abc" + b"\0\0\0\1d"

    def drip():
        for i in range(len(data)):
            os.write(ends[0].fileno(), data[i : i + 1])

    sender = threading.Thread(target=drip)
    sender.start()
    assert [ends[1].receive(), ends[1].receive()] == [b"abc", b"d"]
    sender.join()


@pytest.mark.parametrize("beginning", [b"", b"\0\0", b"\0\0\0\3a"])
def test_the_end_of_the_other_side_is_noticed(ends, beginning):
    os.write(ends[0].fileno(), beginning)
    ends[0].close()
    with pytest.raises(EOFError):
        ends[1].receive()
    with pytest.raises(OSError, match="pipe"):
        ends[1].send(b"s")


def test_both_directions_are_independent(ends):
    ends[0].send(b"question")
    ends[1].send(b"answer")
    assert (ends[0].receive(), ends[1].receive()) == (b"answer", b"question")
