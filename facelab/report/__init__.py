"""Tables, plots and pages: the only place that knows matplotlib."""
