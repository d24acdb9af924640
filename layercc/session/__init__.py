"""From a graph to a callable: inputs, specialization on values, partition, plans."""
