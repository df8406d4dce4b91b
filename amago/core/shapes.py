"""The axes, defined once. Every shape comment and annotation in the package uses these letters.

| axis | meaning |
|---|---|
| `N` | parallel environments |
| `B` | sequences in a batch |
| `L` | stored timesteps of a sequence |
| `T` | transitions of a sequence, `L - 1` |
| `A` | numbers in an action (one-hot width when discrete) |
| `D` | features of a state embedding |
| `K` | sampled actions |
| `C` | critics in an ensemble |
| `G` | discount factors |
| `U` | bins of a categorical critic |
| `H` | attention heads |
"""
