import pickle
import subprocess
import sys
import textwrap
import threading

import gin
import pytest

from amago.core import config
from amago.envs.pool.pickling import dumps


def test_functions_travel_by_value():
    bonus = 3
    assert pickle.loads(dumps(lambda x: x + bonus))(4) == 7


def test_a_configurable_class_finds_the_bindings_of_the_process_it_arrives_in():
    @gin.configurable(module="test_pickling")
    class Local:
        def __init__(self, size=1):
            self.size = size

    sent = dumps(Local)
    config.bind({"test_pickling.Local.size": 5})
    assert pickle.loads(sent)().size == 5


def test_a_configurable_class_can_be_sent_to_a_fresh_interpreter():
    @gin.configurable(module="test_pickling")
    class Travels:
        def __init__(self, size=1):
            self.size = size

    config.bind({"test_pickling.Travels.size": 5})
    program = textwrap.dedent("""
        import pickle, sys
        bindings, cls = pickle.load(sys.stdin.buffer)
        from amago.core import config
        config.restore(bindings)
        assert cls().size == 5, cls().size
        assert "torch" not in sys.modules
    """)
    sent = dumps((config.snapshot(), Travels))
    subprocess.run([sys.executable, "-c", program], input=sent, check=True)


def test_what_cannot_travel_is_refused():
    with pytest.raises(TypeError, match="lock"):
        dumps(threading.Lock())
