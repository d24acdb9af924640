"""From jobs to launches: a file for each in `layercc/jobs`."""
