"""Compiling changes how an update is computed, and nothing else."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.training.compilation import compile_update


@pytest.fixture(autouse=True)
def torchs_checks():
    """Its compiler switches the checks of distributions off, for the whole process."""
    before = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(before)


def loss_and_gradients(policy, batch):
    policy.zero_grad()
    torch.manual_seed(0)
    loss = policy(batch, log_step=False)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's tracer trips over warnings of its own
def test_a_compiled_update_is_the_eager_one(make_tiny):
    experiment = make_tiny()
    experiment.start()
    experiment.collect_new_training_data()
    experiment.dataset.on_end_of_collection(experiment)
    batch = next(iter(experiment.init_dloaders()))
    policy = experiment.policy.train()
    for module in policy.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # drawn from another stream when compiled
    before = copy.deepcopy(policy.state_dict())
    loss, gradients = loss_and_gradients(policy, batch)
    after = copy.deepcopy(policy.state_dict())
    policy.load_state_dict(before)
    compile_update(policy, "aot_eager")
    compiled_loss, compiled_gradients = loss_and_gradients(policy, batch)
    assert policy._compiled_call_impl is not None
    assert_close(compiled_loss, loss)
    assert_close(compiled_gradients, gradients, rtol=1e-4, atol=1e-6)
    assert_close(policy.state_dict(), after)  # running statistics move too


def test_an_unknown_mode_is_refused_before_anything_is_built(make_tiny):
    with pytest.raises(ConfigError, match="compile is 'fast'"):
        make_tiny(compile="fast").start()
