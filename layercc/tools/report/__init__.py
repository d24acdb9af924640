"""The page that shows a model: its graph, layers, problems and profile (`layercc report`)."""
