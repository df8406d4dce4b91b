import pytest

from amago.core.errors import AmagoWarning, ConfigError
from amago.envs.pool import Supervision
from amago.envs.pool.supervision import Fault, FaultLog, too_many


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"step_timeout_s": 0.0}, "step_timeout_s is 0.0; it must be positive"),
        ({"start_timeout_s": -1.0}, "start_timeout_s is -1.0"),
        ({"max_failures": 0}, "max_failures is 0"),
        ({"bad_values": "ignore"}, "bad_values is 'ignore'; choose from .*'drop'"),
    ],
)
def test_limits_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        Supervision(**setting)


def test_faults_are_counted_and_the_first_of_each_kind_is_explained():
    log = FaultLog()
    faults = [Fault(kind, f"a {kind}", "Made anew.", "line 1") for kind in ("slip", "fall", "slip")]
    with pytest.warns(AmagoWarning) as warned:
        log.report(faults)
    assert [str(warning.message) for warning in warned] == [
        "fault 1: a slip. Made anew.\n\nline 1",
        "fault 2: a fall. Made anew.\n\nline 1",
        "fault 3: a slip. Made anew.",
    ]
    assert log.count == 3


def test_only_one_note_is_told():
    log = FaultLog()
    with pytest.warns(AmagoWarning, match="once") as warned:
        log.report([], ["once", "twice"])
    log.report([], ["again"])
    assert len(warned) == 1
    assert log.count == 0


def test_a_limit_of_one_is_not_called_a_row():
    assert str(too_many("it broke", 1)) == "it broke"
    assert "fault 2 in a row" in str(too_many("it broke", 2))
