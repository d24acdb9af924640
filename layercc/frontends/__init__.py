"""Front ends: models of other frameworks, read into `ir.Graph`."""
