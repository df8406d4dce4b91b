"""The maths of off-policy learning on padded sequences: tensors in, tensors out."""
