"""What every other part may use: configuration, errors, registries, axis names. No torch."""
