"""What the verbs that show results share: the run folder as a record, plots, spectrograms, audio for pages, the MLflow store."""
