import numpy as np
import torch
from torch.testing import assert_close

from amago.nets.traj_encoders import GRUTrajEncoder

TIMES = torch.zeros(3, 1, 1)


def test_reset_makes_an_actor_as_new():
    encoder = GRUTrajEncoder(tstep_dim=4, max_seq_len=8, d_hidden=5, d_output=6)
    new = encoder.init_hidden_state(3, torch.device("cpu"))
    assert new.shape == (2, 3, 5)
    _, used = encoder(torch.randn(3, 1, 4), TIMES, hidden_state=new)
    reset = encoder.reset_hidden_state(used, np.array([False, True, False]))
    assert_close(reset[:, 1], new[:, 1])
    assert_close(reset[:, [0, 2]], used[:, [0, 2]])


def test_no_hidden_state_is_the_same_as_a_new_one():
    encoder = GRUTrajEncoder(tstep_dim=4, max_seq_len=8, d_hidden=5, d_output=6)
    x = torch.randn(3, 1, 4)
    new = encoder.init_hidden_state(3, torch.device("cpu"))
    assert_close(encoder(x, TIMES, hidden_state=new)[0], encoder(x, TIMES)[0])
    assert encoder.reset_hidden_state(None, np.ones(3, dtype=bool)) is None
