"""Names of earlier versions resolve to what they became, with a warning that says so.

Keywords of `Experiment` are in `tests/unit/experiment/test_aliases.py`, names of
`amago.envs.env_utils` in its own tests, as is `TformerTrajEncoder.causal`.
"""

import pytest

import amago
from amago.cli_utils import turn_off_goal_conditioning


def test_the_module_learning_is_the_module_experiment():
    from amago import learning

    assert amago.learning is learning
    with pytest.warns(DeprecationWarning, match="import Experiment from amago.experiment"):
        assert learning.Experiment is amago.Experiment
    with pytest.raises(AttributeError, match="nothing"):
        _ = learning.nothing


def test_the_experiment_takes_its_old_keywords():
    with (
        pytest.warns(DeprecationWarning, match="CUDA_VISIBLE_DEVICES"),
        pytest.raises(TypeError, match="run_name"),
    ):
        amago.Experiment(gpu=0)


def test_the_dataset_of_trajectories_is_found_under_its_first_name():
    with pytest.warns(DeprecationWarning, match="DiskTrajDataset"):
        assert amago.loading.TrajDset is amago.loading.DiskTrajDataset


def test_there_are_no_goals_to_turn_off():
    config = {}
    with pytest.warns(DeprecationWarning, match="can be deleted"):
        turn_off_goal_conditioning(config)
    assert config == {}
