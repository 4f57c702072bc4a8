"""Face landmarks: definitions, detectors, labelled data, training of the cascade."""
