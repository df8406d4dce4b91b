"""The cases, a file for each part of a run. Imported by everyone, so heavy imports are inside."""
