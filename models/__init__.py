"""What is learned: dataset, network, training, calibration, evaluation, bundle and predictor."""
