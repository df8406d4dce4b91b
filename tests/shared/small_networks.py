"""gin bindings that make every network of an agent tiny."""

SMALL = {
    "FFTstepEncoder.n_layers": 1,
    "FFTstepEncoder.d_hidden": 8,
    "FFTstepEncoder.d_output": 6,
    "GRUTrajEncoder.d_hidden": 8,
    "GRUTrajEncoder.d_output": 6,
    "Actor.d_hidden": 8,
    "NCritics.d_hidden": 8,
    "NCriticsTwoHot.d_hidden": 8,
    "NCriticsTwoHot.output_bins": 16,
    "NCriticsTwoHot.min_return": -50.0,
    "NCriticsTwoHot.max_return": 50.0,
    "Multigammas.discrete": [0.5, 0.9],
    "Multigammas.continuous": [0.5, 0.9],
}
