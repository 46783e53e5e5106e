"""From a turn's rows to decisions: subjects, their detectors, what these conclude."""
