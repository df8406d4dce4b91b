"""What an update, or acting, is made of."""

import pytest
import torch
from amago_bench.operations import KINDS, OperationClock, kind_of
from amago_bench.registry import Context, all_cases
from amago_bench.watch import Watch


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::addmm", "products"),
        ("aten::baddbmm_", "products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("aten::leaky_relu_backward", "activations"),
        ("aten::native_layer_norm_backward", "normalisation"),
        ("aten::_softmax_backward_data", "reductions"),
        ("aten::linalg_vector_norm", "reductions"),
        ("aten::copy_", "copies"),
        ("aten::_to_copy", "copies"),
        ("aten::mul", "arithmetic"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::as_strided", "other"),
        ("aten::mmm", "other"),
    ],
)
def test_an_operation_is_of_the_kind_that_its_name_begins_with(operation, kind):
    assert kind_of(operation) == kind


def test_the_clock_counts_what_is_done_forward_and_backward_while_it_runs():
    weight = torch.randn(64, 64, requires_grad=True)
    weight.relu().sum()
    with OperationClock() as clock:
        (torch.randn(4096, 64) @ weight).sum().backward()
    assert weight.grad is not None
    assert clock.spent["products"] > clock.spent["reductions"] > 0
    assert clock.spent["activations"] == 0


@pytest.mark.parametrize("name", ["profile/train/short", "profile/rollout/cartpole_ff"])
def test_the_shares_are_those_of_the_whole_time(name, tmp_path):
    watch = Watch()
    with all_cases()[name].prepare(Context(tmp_path, threads=1, quick=True)) as work:
        assert work.once(watch) > 0
    shares = {kind: watch.extra[kind] for kind in (*KINDS, "other", "the rest")}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["products"] > 0
