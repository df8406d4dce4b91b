"""What an update is made of."""

import pytest
from amago_bench.cases.profiles import KINDS, kind_of
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
        ("aten::mul", "arithmetic"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::as_strided", "other"),
        ("aten::mmm", "other"),
    ],
)
def test_an_operation_is_of_the_kind_that_its_name_begins_with(operation, kind):
    assert kind_of(operation) == kind


def test_the_shares_of_an_update_are_its_whole_time(tmp_path):
    case = all_cases()["profile/short"]
    watch = Watch()
    with case.prepare(Context(tmp_path, threads=1, quick=True)) as work:
        work.once(watch)
    assert set(watch.extra) == {*KINDS, "other", "python"}
    assert sum(watch.extra.values()) == pytest.approx(1.0, abs=0.02)
    assert watch.extra["products"] > 0
