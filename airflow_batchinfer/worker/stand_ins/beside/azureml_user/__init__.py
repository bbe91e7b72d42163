"""The package that Azure ML put beside a ParallelRunStep's script."""
