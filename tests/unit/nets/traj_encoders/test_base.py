import numpy as np
import pytest
import torch

from amago.nets.traj_encoders import (
    GRUTrajEncoder,
    IdentityTrajEncoder,
    get_traj_encoder_cls,
    list_registered_traj_encoders,
    register_traj_encoder,
)


def test_encoders_are_found_by_name():
    names = {"identity", "ff", "rnn", "transformer", "mamba"}
    assert set(list_registered_traj_encoders()) >= names
    assert get_traj_encoder_cls("rnn") is GRUTrajEncoder
    with pytest.raises(KeyError, match="did you mean 'transformer'"):
        get_traj_encoder_cls("tranformer")
    with pytest.raises(ValueError, match="already registered"):
        register_traj_encoder("rnn")(GRUTrajEncoder)


def test_without_memory_there_is_no_hidden_state():
    encoder = IdentityTrajEncoder(tstep_dim=3, max_seq_len=4)
    assert encoder.init_hidden_state(2, torch.device("cpu")) is None
    assert encoder.reset_hidden_state(None, np.array([True, False])) is None
    seq = torch.randn(2, 5, 3)
    states, hidden_state = encoder(seq, torch.zeros(2, 5, 1))
    assert torch.equal(states, seq)
    assert hidden_state is None
